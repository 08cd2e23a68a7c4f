import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { dumpStacks } from "./stacks.ts";

let proc: string;
beforeEach(() => {
  proc = mkdtempSync(join(tmpdir(), "proc-"));
});
afterEach(() => rmSync(proc, { recursive: true, force: true }));

function process(pid: number, files: { readonly [name: string]: string }): void {
  mkdirSync(join(proc, String(pid)));
  for (const [name, text] of Object.entries(files)) writeFileSync(join(proc, String(pid), name), text);
}

describe("a dump of stacks", () => {
  it("contains the agent's stack, and that of each process as far as the kernel shows it", () => {
    process(7, {
      status: "Name:\tsleep\nState:\tS (sleeping)\n",
      wchan: "do_nanosleep",
      stack: "[<0>] do_nanosleep\n",
    });
    process(8, { status: "Name:\tcat\nState:\tD (disk sleep)\n" });
    process(9, {});
    writeFileSync(join(proc, "meminfo"), "");
    const text = dumpStacks(proc);
    expect(text).toMatch(/^agent:\nError: stack\n\s+at dumpStacks/);
    expect(text).toContain(
      "\n\nprocess 7 (sleep), S (sleeping), waits in do_nanosleep\n[<0>] do_nanosleep\n\nprocess 8 (cat), D (disk sleep), waits in ?",
    );
    expect(text).not.toContain("process 9");
  });

  it("is limited to 256 KiB", () => {
    process(7, { status: "Name:\tsleep\n", stack: "x".repeat(300_000) });
    expect(dumpStacks(proc)).toHaveLength(256 * 1024);
  });
});
