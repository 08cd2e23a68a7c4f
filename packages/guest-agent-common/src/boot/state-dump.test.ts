import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Writable } from "node:stream";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { GuestLog } from "../log.ts";
import { StateDump } from "./state-dump.ts";

let proc: string;
beforeEach(() => {
  proc = mkdtempSync(join(tmpdir(), "proc-"));
  mkdirSync(join(proc, "self/fd"), { recursive: true });
  for (const name of ["0", "1", "2"]) writeFileSync(join(proc, "self/fd", name), "");
});
afterEach(() => rmSync(proc, { recursive: true, force: true }));

function addProcess(pid: number, name: string): void {
  mkdirSync(join(proc, String(pid)));
  writeFileSync(join(proc, String(pid), "status"), `Name:\t${name}\nState:\tS (sleeping)\n`);
  writeFileSync(join(proc, String(pid), "wchan"), "do_nanosleep");
}

function dumper(now: () => number = () => 0): { readonly dump: StateDump; readonly lines: string[] } {
  const lines: string[] = [];
  const console = new Writable({
    write(chunk, _encoding, done) {
      lines.push(String(chunk));
      done();
    },
  });
  return { dump: new StateDump(new GuestLog(console, () => new Date(0)), now, proc), lines };
}

describe("a dump of the agent's state", () => {
  it("has a line each for the agent's stack, active resources, memory, descriptors and every process", () => {
    addProcess(7, "sleep");
    const { dump, lines } = dumper();
    dump.write();
    const entries = lines.map((line) => JSON.parse(line));
    expect(entries.map(({ msg }) => msg)).toEqual([
      "=== BEGIN state dump ===",
      ...["dump: stack", "dump: active resources", "dump: memory", "dump: descriptors", "dump: process"],
      "=== END state dump ===",
    ]);
    expect(entries[1].stack).toContain("StateDump.write");
    expect(entries[4]).toMatchObject({ open: 3 });
    expect(entries[5]).toMatchObject({ process: 7, name: "sleep", state: "S (sleeping)", waitsIn: "do_nanosleep" });
  });

  it("writes one line for a process, whatever its name", () => {
    addProcess(7, 'a\\n"level":"error"');
    const { dump, lines } = dumper();
    dump.write();
    expect(lines.filter((line) => line.includes("dump: process"))).toHaveLength(1);
    expect(lines.every((line) => line.indexOf("\n") === line.length - 1)).toBe(true);
  });

  it("dumps 64 processes at most, and counts all", () => {
    for (let pid = 1; pid <= 70; pid += 1) addProcess(pid, "sleep");
    const { dump, lines } = dumper();
    dump.write();
    expect(lines.filter((line) => line.includes('"dump: process"'))).toHaveLength(64);
    expect(JSON.parse(lines.at(-2) ?? "")).toMatchObject({ msg: "dump: processes", processes: 70, dumped: 64 });
  });

  it("is written at most once in 10 s", () => {
    let now = 0;
    const { dump, lines } = dumper(() => now);
    const dumps = (): number => lines.filter((line) => line.includes("BEGIN")).length;
    for (now = 0; now < 10_000; now += 100) dump.write();
    expect(dumps()).toBe(1);
    dump.write();
    expect(dumps()).toBe(2);
  });

  it("is marked as incomplete, and ended, where part of it cannot be read", () => {
    rmSync(join(proc, "self"), { recursive: true });
    const { dump, lines } = dumper();
    dump.write();
    expect(JSON.parse(lines.at(-2) ?? "")).toMatchObject({
      msg: "dump: incomplete",
      error: expect.stringContaining("ENOENT"),
    });
    expect(JSON.parse(lines.at(-1) ?? "")).toMatchObject({ msg: "=== END state dump ===" });
  });
});
