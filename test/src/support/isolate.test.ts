import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { describeWith } from "@uvm-shim/test-support/machine-needs";
import { afterEach, beforeEach, expect, it } from "vitest";
import { ControlGroups } from "./control-groups.ts";

/** Says its folder and waits until it is asked to end; with an argument it never does. */
const program = `
  import { isolation, runIsolated } from ${JSON.stringify(import.meta.resolve("./isolate.ts"))};
  const isolated = isolation();
  if (isolated === undefined) {
    process.exitCode = await runIsolated(import.meta.url, process.argv.slice(2), { inMemory: true });
  } else {
    const waits = setInterval(() => {}, 1_000_000);
    if (process.argv.length === 2) isolated.signal.addEventListener("abort", () => clearInterval(waits));
    console.log(isolated.directory);
  }`;

describeWith("root")("a program in namespaces of its own", () => {
  let parent: string;
  const running: ChildProcess[] = [];

  beforeEach(() => {
    parent = mkdtempSync(join(tmpdir(), "isolate-"));
    writeFileSync(join(parent, "program.ts"), program);
  });
  afterEach(async () => {
    for (const child of running.splice(0)) await end(child, "SIGTERM");
    rmSync(parent, { recursive: true });
  });

  async function run(...args: string[]): Promise<{ readonly child: ChildProcess; readonly directory: string }> {
    const child = spawn(process.execPath, [join(parent, "program.ts"), ...args], {
      stdio: ["ignore", "pipe", "ignore"],
      env: { ...process.env, TMPDIR: parent },
    });
    running.push(child);
    const [said] = await once(child.stdout, "data");
    return { child, directory: String(said).trim() };
  }

  async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, "exit");
    child.kill(signal);
    await ended;
  }

  const groupsOf = (directory: string) => new ControlGroups(basename(directory));
  const leftOf = (directory: string) =>
    [directory, ...groupsOf(directory).groups.map(({ path }) => path)].filter((path) => existsSync(path));

  it.each(["SIGINT", "SIGTERM"] as const)("leaves nothing at %s", async (signal) => {
    const { child, directory } = await run();
    expect(leftOf(directory).length).toBeGreaterThan(1);
    await end(child, signal);
    expect([leftOf(directory), readdirSync(parent)]).toEqual([[], ["program.ts"]]);
  });

  it("has what a run left that was killed removed by the next run, once nothing of it runs", async () => {
    const killed = await run("stays");
    const inside = processesOf(killed.directory);
    await end(killed.child, "SIGKILL");
    const [left, groups] = [leftOf(killed.directory), groupsOf(killed.directory)];
    const early = await run();
    expect(leftOf(killed.directory)).toEqual(left);
    for (const pid of inside) process.kill(pid, "SIGKILL");
    await expect.poll(() => groups.hasProcesses()).toBe(false);
    const late = await run();
    expect(leftOf(killed.directory)).toEqual([]);
    for (const { directory } of [early, late]) expect(leftOf(directory).length).toBe(left.length);
  });

  function processesOf(directory: string): readonly number[] {
    const pids = groupsOf(directory).groups.flatMap(({ seat }) =>
      readFileSync(join(seat, "cgroup.procs"), "utf8").trim().split("\n").map(Number),
    );
    return [...new Set(pids)].filter((pid) => pid > 1);
  }
});
