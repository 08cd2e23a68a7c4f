import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import type { Writable } from "node:stream";
import { text } from "node:stream/consumers";
import { setImmediate as turn } from "node:timers/promises";
import { beforeAll, describe, expect, it } from "vitest";
import { becomeSubreaper, type ProcessExit, reapAny, waitProcess } from "./index.ts";

beforeAll(() => becomeSubreaper());

/** Starts a process that becomes an orphan, and so a child of this one, before it runs its script. */
async function orphan(script: string): Promise<number> {
  // The orphan waits while its parent lives, since a shell may collect the exits of its children.
  const parent = spawn("sh", ["-c", `(read line <&3; ${script}) >/dev/null 2>&1 & echo $!`], {
    stdio: ["ignore", "pipe", "inherit", "pipe"],
  });
  const { stdout } = parent;
  // The orphan may be gone before it has read the line's end.
  parent.stdio[3]?.on("error", () => {});
  if (stdout === null) throw new Error("the shell has no standard output");
  const [pid] = await Promise.all([text(stdout), once(parent, "exit")]);
  const line = parent.stdio[3] as Writable;
  // The kernel may call it a reset when the orphan ends with the line.
  line.on("error", () => {});
  line.end("\n");
  return Number(pid);
}

async function ended(pid: number): Promise<ProcessExit> {
  for (;;) {
    const exit = waitProcess(pid);
    if (exit !== undefined) return exit;
    await turn();
  }
}

describe("orphans", () => {
  it("have their exits collected by pid", async () => {
    expect(await ended(await orphan("exit 42"))).toEqual({ exited: true, exitCode: 42, signal: undefined });
    const killed = await orphan("exec sleep 1000");
    expect(waitProcess(killed)).toBeUndefined();
    process.kill(killed, "SIGKILL");
    expect(await ended(killed)).toEqual({ exited: true, exitCode: 137, signal: 9 });
    expect(() => waitProcess(killed)).toThrow("ECHILD");
  });

  it("are collected one by one, and children of Node are left to Node", async () => {
    const child = spawn("sh", ["-c", "exit 3"], { stdio: "ignore" });
    // The busy loop keeps Node from collecting the child first.
    waitUntilZombie(child.pid ?? 0);
    expect(reapAny((pid) => pid === child.pid)).toBe("owned");
    expect(await once(child, "exit")).toEqual([3, null]);
    const pid = await orphan("exit 5");
    for (;;) {
      const exit = reapAny(() => false);
      if (exit !== undefined) {
        expect(exit).toEqual({ exited: true, exitCode: 5, signal: undefined, pid });
        break;
      }
      await turn();
    }
    expect(reapAny(() => false)).toBeUndefined();
  });
});

function waitUntilZombie(pid: number): void {
  while (!/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8")));
}
