// @ts-check
/**
 * Gets what is lacking: by the distribution's package manager where we are root, else (or if that fails) unpacked into
 * the project's cache, which works with apt only.
 */
import { createHash } from "node:crypto";
import { existsSync, lstatSync, mkdtempSync, readdirSync, renameSync, rmdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { makeFolder } from "./machine.mjs";
import { enumerate, packagesFor } from "./needs.mjs";

/**
 * @typedef {import("./needs.mjs").Need} Need
 * @typedef {import("./needs.mjs").Manager} Manager
 * @typedef {import("./machine.mjs").Machine} Machine
 *
 * @typedef {object} Provided
 * @property {readonly Need[]} lacking What could not be had.
 * @property {string} [tree] A folder with a `usr` in which the rest is unpacked; absent where it is installed.
 * @property {string} [why] Why it is unpacked, or could not be had.
 * @property {string} [size] What was downloaded, in the manager's own words.
 */

/** @type {{ readonly [manager in Manager]: readonly (readonly string[])[] }} */
const installations = {
  // The lists may be absent, or so old that the server no longer has their packages: then they are renewed.
  apt: [
    ["apt-get", "install", "-y", "-q", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=60"],
    ["apt-get", "update", "-q"],
  ],
  dnf: [["dnf", "install", "-y", "--setopt=install_weak_deps=False"]],
  apk: [["apk", "add", "--no-cache"]],
  zypper: [["zypper", "--non-interactive", "install", "--no-recommends"]],
};

/**
 * @param {readonly Need[]} lacking
 * @param {Machine} machine
 * @returns {Promise<Provided>}
 */
export async function provide(lacking, machine) {
  const { manager } = machine;
  if (manager === undefined) return { lacking, why: "none of apt-get, dnf, apk and zypper is here to install it with" };
  const { packages, unpackaged } = packagesFor(lacking, manager);
  if (packages.length === 0) return { lacking };
  const unpacked = manager === "apt" ? unpackedTree(packages, machine) : undefined;
  if (unpacked !== undefined && existsSync(unpacked)) {
    const earlier = afterUnpacking(lacking, machine, { tree: unpacked });
    // Of what it depends on the machine may have had more then.
    if (earlier.lacking.length === 0) return earlier;
  }
  /** @type {string | undefined} */
  let why;
  if (machine.isRoot) {
    const installed = await install(packages, manager, machine);
    if (installed.status === 0) {
      const left = [...lacking.filter((need) => !unpackaged.includes(need) && !machine.has(need)), ...unpackaged];
      return { lacking: left, ...sizeIn(installed.output) };
    }
    why = `${installed.command} failed: ${lastWords(installed.output)}`;
  } else why = "without root it cannot install packages";
  if (unpacked === undefined) return { lacking, why };
  const isEnough = () => afterUnpacking(lacking, machine, { tree: unpacked }).lacking.length === 0;
  const fetched = await unpack(packages, unpacked, machine, isEnough);
  if (fetched.failed !== undefined) return { lacking, why: `${why}; ${fetched.failed}` };
  return afterUnpacking(lacking, machine, { tree: unpacked, why, ...sizeIn(fetched.output) });
}

/** @param {readonly Need[]} lacking @param {Machine} machine @param {Omit<Provided, "lacking"> & { tree: string }} got */
function afterUnpacking(lacking, machine, got) {
  return { ...got, lacking: lacking.filter((need) => !machine.has(need) && !machine.has(need, got.tree)) };
}

/** @param {readonly string[]} packages @param {Manager} manager @param {Machine} machine */
async function install(packages, manager, machine) {
  const [order, renewal] = /** @type {[string[], string[]?]} */ (installations[manager]);
  /** @param {string[]} words */
  const run = async ([command = "", ...args]) => ({
    command,
    ...(await machine.run(command, args, { DEBIAN_FRONTEND: "noninteractive" })),
  });
  const first = await run([...order, ...packages]);
  if (first.status === 0 || renewal === undefined) return first;
  const renewed = await run(renewal);
  return renewed.status === 0 ? await run([...order, ...packages]) : renewed;
}

/** A home folder may be that of several machines. @param {readonly string[]} packages @param {Machine} machine */
function unpackedTree(packages, { system, cache }) {
  const digest = createHash("sha256")
    .update([system, ...packages].join(" "))
    .digest("hex");
  return join(cache, "tools", digest.slice(0, 16));
}

/**
 * Downloads packages, and those that they depend on and that the machine lacks, with lists of its own.
 *
 * @param {readonly string[]} packages
 * @param {string} tree
 * @param {Machine} machine
 * @param {() => boolean} isEnough Whether a tree that is there has all that is lacking.
 * @returns {Promise<{ failed?: string, output: string }>}
 */
async function unpack(packages, tree, machine, isEnough) {
  const work = mkdtempSync(join(makeFolder(join(machine.cache, "tools")), ".apt-"));
  try {
    const archives = makeFolder(join(work, "cache", "archives"));
    makeFolder(join(archives, "partial"));
    makeFolder(join(work, "lists", "partial"));
    const own = [
      `Dir::State::Lists=${join(work, "lists")}`,
      `Dir::Cache=${join(work, "cache")}`,
      "Debug::NoLocking=1",
      "Acquire::Languages=none",
      ...(machine.isRoot ? ["APT::Sandbox::User=root"] : []),
    ].flatMap((option) => ["-o", option]);
    const download = ["install", "--download-only", "-y", "-q", "--no-install-recommends", ...packages];
    let output = "";
    for (const args of [["update", "-q"], download]) {
      const ended = await machine.run("apt-get", [...own, ...args]);
      output += ended.output;
      if (ended.status !== 0) return { failed: `apt-get cannot fetch them either: ${lastWords(ended.output)}`, output };
    }
    const files = join(work, "files");
    for (const name of readdirSync(archives).filter((name) => name.endsWith(".deb"))) {
      const ended = await machine.run("dpkg-deb", ["-x", join(archives, name), files]);
      if (ended.status !== 0) return { failed: `dpkg-deb cannot unpack ${name}: ${lastWords(ended.output)}`, output };
    }
    belowUsr(files);
    // Another one may have been as fast, and run out of its tree already.
    if (existsSync(tree) && isEnough()) return { output };
    rmSync(tree, { recursive: true, force: true });
    renameSync(files, tree);
    return { output };
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** Moves what packages have in /bin, /lib and so on to where the links of a present-day system lead. @param {string} tree */
export function belowUsr(tree) {
  for (const name of ["bin", "sbin", "lib", "lib64"].filter((folder) => existsSync(join(tree, folder)))) {
    moveInto(join(tree, name), join(makeFolder(join(tree, "usr")), name));
  }
}

/** Folders that both have become one; of a file that both have, the moved one stays. @param {string} from @param {string} to */
function moveInto(from, to) {
  const isFolder = (/** @type {string} */ path) => lstatSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
  if (!isFolder(from) || !isFolder(to)) return renameSync(from, to);
  for (const name of readdirSync(from)) moveInto(join(from, name), join(to, name));
  rmdirSync(from);
}

/** @param {string} output */
function sizeIn(output) {
  const size = /Need to get ([\d.,]+ [kMG]?B)/.exec(output)?.[1];
  return size === undefined ? {} : { size };
}

/** @param {string} output */
function lastWords(output) {
  const lines = output.split("\n").filter((line) => line.trim() !== "");
  return (lines.filter((line) => line.startsWith("E:")).at(-1) ?? lines.at(-1) ?? "it said nothing").trim();
}

/** What is being got, in words. @param {readonly Need[]} lacking @param {Machine} machine */
export function describeGetting(lacking, machine) {
  const what = enumerate(lacking.map((need) => need.what));
  return machine.manager === undefined ? what : `${what} by ${machine.manager === "apt" ? "apt-get" : machine.manager}`;
}
