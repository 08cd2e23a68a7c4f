import { execFileSync } from "node:child_process";
import { closeSync, constants, mkdtempSync, openSync, readSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { ManualClock } from "@uvm-shim/lifecycle/testing";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { formatLine, PipeLog } from "./log.ts";

let directory: string;
let file: string;
let clock: ManualClock;
let log: PipeLog;

beforeEach(() => {
  directory = mkdtempSync(path.join(tmpdir(), "shim-log-"));
  file = path.join(directory, "log");
  execFileSync("mkfifo", [file]);
  clock = new ManualClock();
  log = new PipeLog({ path: file, level: "info", clock, fields: { id: "c1" } });
});
afterEach(() => {
  log.close();
  rmSync(directory, { recursive: true, force: true });
});

const openReader = (): number => openSync(file, constants.O_RDONLY | constants.O_NONBLOCK);

const readAll = (descriptor: number): string => {
  const buffer = Buffer.alloc(1024 * 1024);
  let text = "";
  try {
    for (let count = 1; count > 0; ) {
      count = readSync(descriptor, buffer);
      text += buffer.toString("utf8", 0, count);
    }
  } catch (error) {
    expect((error as NodeJS.ErrnoException).code).toBe("EAGAIN");
  }
  return text;
};

describe("PipeLog", () => {
  it("writes structured lines at its level and above", () => {
    const reader = openReader();
    log.log("debug", "not said");
    log.log("info", "hello there", { count: 3, error: new Error("no"), nothing: undefined });
    expect(readAll(reader)).toBe(
      'time="2026-05-06T07:08:09.000Z" level=info msg="hello there" id=c1 count=3 error=no\n',
    );
    closeSync(reader);
  });

  it("waits for its reader, and for the next one when the reader has gone", async () => {
    log.log("info", "first");
    const first = openReader();
    await clock.advance(100);
    expect(readAll(first)).toContain("msg=first");
    closeSync(first);
    log.log("warn", "second");
    const second = openReader();
    await clock.advance(100);
    expect(readAll(second)).toContain("level=warning msg=second");
    closeSync(second);
  });

  it("never blocks on a full pipe: lines that do not fit in its queue are counted", async () => {
    const reader = openReader();
    const line = "x".repeat(1000);
    for (let index = 0; index < 600; index++) log.log("info", `${index} ${line}`);
    let text = "";
    for (let turn = 0; turn < 20; turn++) {
      text += readAll(reader);
      await clock.advance(100);
    }
    const lines = text.trimEnd().split("\n");
    const dropped = Number(/msg="log lines dropped".* dropped=(\d+)/.exec(text)?.[1]);
    expect(dropped).toBeGreaterThan(0);
    expect(lines).toHaveLength(600 - dropped + 1);
    expect(lines.every((each) => each.startsWith("time="))).toBe(true);
    closeSync(reader);
  });

  it("writes nothing after close, and needs no FIFO", () => {
    log.close();
    const nowhere = new PipeLog({ path: path.join(directory, "none"), level: "info", clock });
    nowhere.log("error", "unheard");
    nowhere.close();
    expect(clock.sleepers).toBe(0);
  });
});

describe("formatLine", () => {
  it("is one line of bounded length for any input", () => {
    const line = formatLine(new Date(0), "error", `a\nb"c ${"y".repeat(9000)}`, {
      object: { nested: true },
    }).toString();
    expect(line.length).toBeLessThanOrEqual(4096);
    expect(line.indexOf("\n")).toBe(line.length - 1);
    expect(line).toContain('msg="a\\nb\\"c ');
  });

  it("lets no field forge another line, or a field of the shim's own", () => {
    const own = { id: "c1", namespace: "default" };
    const forged = {
      "a\ntime=x level=error msg": 'b"c\n\u001b[2J\u0007\u009b\u2028\u202e\ud800',
      ...{ id: "c2", namespace: "other", time: "then", level: "error", msg: "forged", "": "unnamed" },
    };
    expect(formatLine(new Date(0), "info", "hello", forged, own).toString()).toBe(
      'time="1970-01-01T00:00:00.000Z" level=info msg=hello id=c1 namespace=default ' +
        'a_time_x_level_error_msg="b\\"c\\n\\u001b[2J\\u0007\\u009b\\u2028\\u202e\\ud800" ' +
        "fields.id=c2 fields.namespace=other fields.time=then fields.level=error fields.msg=forged _=unnamed\n",
    );
  });

  it("is well-formed within its bound: omitted fields are counted, and a truncated text states its length", () => {
    const many = Object.fromEntries(Array.from({ length: 200 }, (_, index) => [`k${index}`, "v".repeat(300)]));
    const line = formatLine(new Date(0), "info", "m".repeat(9000), { long: "x".repeat(70_000), ...many }).toString();
    expect(Buffer.byteLength(line)).toBeLessThanOrEqual(4096);
    expect(line).toMatch(/msg="m+… \(cut: 9000 characters in all\)" long="x+… \(cut: 70000 characters in all\)" /);
    expect(line).toMatch(/ left_out=\d+\n$/);
  });
});
