// @ts-check
/** Tells what is being got while it takes long: how much of it is on the disk so far, and since when. */
import { spawn } from "node:child_process";
import { lstatSync, readdirSync } from "node:fs";
import { join } from "node:path";

const TERMINAL_MS = 500;
/** Elsewhere each report is a line of its own, as in the log of a build machine. */
const LOG_MS = 10_000;

/** What goes on at present, each as a line of words. @type {Set<() => string>} */
const going = new Set();
const rich = process.stderr.isTTY === true;
const clearLine = rich ? "\r\u001b[2K" : "";

/**
 * Runs a piece of work; prints a line when it is done, and before that while it goes on.
 *
 * @template T
 * @param {string} what
 * @param {readonly string[]} folders Where it is put.
 * @param {() => Promise<T>} work
 * @param {(result: T) => string} [remark]
 * @returns {Promise<T>}
 */
export async function tell(what, folders, work, remark) {
  const started = performance.now();
  const seconds = () => `${((performance.now() - started) / 1000).toFixed(0)} s`;
  const grown = () => {
    const bytes = sizeOf(folders);
    return bytes > 0 ? `${Math.round(bytes / 1e6)} MB on the disk, ` : "";
  };
  const state = () => `${what}: ${grown()}${seconds()}`;
  const report = () =>
    process.stderr.write(rich ? `${clearLine}${[...going].map((each) => each()).join("; ")}` : `${state()} so far\n`);
  const timer = setInterval(report, rich ? TERMINAL_MS : LOG_MS);
  going.add(state);
  try {
    const result = await work();
    const amount = remark === undefined ? grown() : remark(result);
    process.stderr.write(`${clearLine}${what}: ${amount}${seconds()}\n`);
    return result;
  } finally {
    going.delete(state);
    clearInterval(timer);
    process.stderr.write(clearLine);
  }
}

/** @param {readonly string[]} folders @returns {number} */
function sizeOf(folders) {
  return folders.reduce((sum, folder) => sum + sizeBelow(folder), 0);
}

/** Something may vanish while it is looked at. @param {string} path @returns {number} */
function sizeBelow(path) {
  try {
    const stats = lstatSync(path);
    if (!stats.isDirectory()) return stats.size;
    return readdirSync(path).reduce((sum, name) => sum + sizeBelow(join(path, name)), 0);
  } catch {
    return 0;
  }
}

/** What must not go on when we end early. @type {Set<import("node:child_process").ChildProcess>} */
const children = new Set();
process.once("exit", () => {
  for (const child of children) child.kill();
});

/**
 * Runs a program to its end; rejects, with all that it printed, if it fails.
 *
 * @param {string} what
 * @param {string} command
 * @param {readonly string[]} args
 * @param {import("node:child_process").SpawnOptions} options
 */
export function mustRun(what, command, args, options) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { ...options, stdio: ["ignore", "pipe", "pipe"] });
    children.add(child);
    child.once("exit", () => children.delete(child));
    let output = "";
    for (const stream of [child.stdout, child.stderr])
      stream?.setEncoding("utf8").on("data", (text) => (output += text));
    child.once("error", (error) => reject(new Error(`${what}: ${error.message}`)));
    child.once("close", (code, signal) => {
      if (code === 0) resolve(undefined);
      else reject(new Error(`${what} failed (${signal ?? `exit ${code}`}):\n${output.trimEnd()}`));
    });
  });
}
