import { once } from "node:events";
import type { Readable, Writable } from "node:stream";
import { text } from "node:stream/consumers";
import { becomeSubreaper } from "@uvm-shim/linux-calls";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Children } from "./children.ts";

let children: Children;

beforeEach(() => {
  becomeSubreaper();
  children = new Children();
});

afterEach(() => children.close());

/** Leaves an orphan behind, which runs its script once `go` is called. */
async function leaveOrphan(script: string): Promise<{ pid: number; go: () => void }> {
  const parent = await children.spawn("sh", ["-c", `(read line <&3; ${script}) >/dev/null 2>&1 & echo $!`], {
    stdio: ["ignore", "pipe", "inherit", "pipe"],
  });
  const [pid] = await Promise.all([text(parent.stdout as Readable), once(parent, "exit")]);
  return { pid: Number(pid), go: () => (parent.stdio[3] as Writable).end("\n") };
}

describe("children", () => {
  it("are run to their end, and distinguished from orphans", async () => {
    const stdio = ["ignore", "ignore", "pipe"] as const;
    const results = await Promise.all(
      [0, 1, 2, 3].map((code) => children.run("sh", ["-c", `echo ${code} >&2; exit ${code}`], { stdio: [...stdio] })),
    );
    expect(results).toEqual([0, 1, 2, 3].map((exitCode) => ({ exitCode, stderr: `${exitCode}\n` })));
    await expect(children.run("/no/such/program", [], {})).rejects.toThrow("/no/such/program: ");
    const { exitCode } = await children.run("sh", ["-c", "kill -9 $$"], {});
    expect(exitCode).toBe(137);
  });

  it("are killed when their run is aborted", async () => {
    const stop = new AbortController();
    const run = children.run("sleep", ["1000"], {}, stop.signal);
    stop.abort(new Error("enough"));
    await expect(run).rejects.toThrow("enough");
    await expect(children.run("sleep", ["1000"], {}, stop.signal)).rejects.toThrow("enough");
  });

  it("are started without being waited for", async () => {
    const { pid, exit } = await children.start("sh", ["-c", "kill -15 $$"], {});
    expect(pid).toBeGreaterThan(1);
    expect(await exit).toEqual({ exited: true, exitCode: 143, signal: 15 });
    await expect(children.start("/no/such/program", [], {})).rejects.toThrow("/no/such/program: ");
  });

  it("get a clean environment", async () => {
    const child = await children.spawn("env", [], { stdio: ["ignore", "pipe", "inherit"], env: { OWN: "1" } });
    const lines = (await text(child.stdout as Readable)).trim().split("\n");
    expect(lines.map((line) => line.split("=")[0]).sort()).toEqual(["HOME", "OWN", "PATH", "XDG_RUNTIME_DIR"]);
  });
});

describe("orphans", () => {
  it("report their exit to their adopter", async () => {
    const expectation = children.expect();
    const { pid, go } = await leaveOrphan("exit 42");
    const exit = expectation.adopt(pid);
    expectation.end();
    expectation.end();
    go();
    expect(await exit).toMatchObject({ exited: true, exitCode: 42, signal: undefined });
  });

  it("report it even if they ended before their adoption", async () => {
    const expectation = children.expect();
    const early = await leaveOrphan("exit 7");
    const later = await leaveOrphan("exit 8");
    const laterExit = expectation.adopt(later.pid);
    early.go();
    // Exits are collected together or in order: once the second is known, so is the first.
    while (isRunning(early.pid)) await new Promise(setImmediate);
    later.go();
    await laterExit;
    expect((await expectation.adopt(early.pid)).exitCode).toBe(7);
    expectation.end();
  });
});

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
