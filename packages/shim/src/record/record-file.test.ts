import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { recordFiles, removeOldRecords } from "./kept.ts";
import { parseRecord, recordFile } from "./lines.ts";
import { appendNow, type fileBounds, RecordFile, shortened } from "./record-file.ts";

let folder: string;
let file: string;
const problems: unknown[] = [];
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), "record-"));
  file = recordFile(path.join(folder, "pods"), "ns", "c1");
  problems.length = 0;
});
afterEach(() => rmSync(folder, { recursive: true }));

const now = () => new Date(0);
const open = (bounds: Partial<typeof fileBounds> = {}) =>
  new RecordFile({ path: file, now, onProblem: (error) => problems.push(error), bounds });
const line = (seq: number) => JSON.stringify({ seq, time: now().toISOString(), type: "occurred", name: "tick" });
const numbers = () =>
  parseRecord(readFileSync(file, "utf8")).lines.map(({ seq, type }) => (type === "omitted" ? "…" : seq));

describe("the file of a record", () => {
  it("has the lines of one shim, for its owner alone", async () => {
    appendNow(file, ["of an earlier pod with this id"]);
    const record = open();
    for (const seq of [1, 2]) record.add(line(seq));
    await record.close();
    record.add(line(3));
    expect(readFileSync(file, "utf8")).toBe(`${line(1)}\n${line(2)}\n`);
    expect(
      [file, path.dirname(file), path.dirname(path.dirname(file))].map((one) => statSync(one).mode & 0o777),
    ).toEqual([0o600, 0o700, 0o700]);
    expect(problems).toEqual([]);
  });

  it("is not begun in a folder that another user has made first", async () => {
    const makeFolder = () => Promise.reject(new Error("it belongs to S-1-5-21-1"));
    const record = new RecordFile({ path: file, makeFolder, now, onProblem: (error) => problems.push(error) });
    record.add(line(1));
    await record.close();
    record.closeNow();
    expect(problems).toEqual([expect.objectContaining({ message: "it belongs to S-1-5-21-1" })]);
    expect(readdirSync(folder)).toEqual([]);
  });

  it("is complete when the shim ends at once, before or after the first write", async () => {
    const first = open();
    first.add(line(1));
    first.closeNow();
    expect(numbers()).toEqual([1]);
    const second = open({ all: 1e6, beginning: 1e6, end: 1e6 });
    second.add(line(1));
    await expect.poll(() => readFileSync(file, "utf8")).toContain(line(1));
    second.add(line(2));
    second.closeNow();
    expect(numbers()).toContain(2);
  });

  it("is not begun anew by a write that was under way when the shim ended at once", async () => {
    vi.useFakeTimers();
    try {
      const record = open();
      record.add(line(1));
      record.closeNow();
      await vi.advanceTimersByTimeAsync(1000);
      await record.close();
    } finally {
      vi.useRealTimers();
    }
    expect(numbers()).toEqual([1]);
  });

  it("has the last words of a shim that ends at once, whatever it did with the file meanwhile", async () => {
    // Each write of the second line shortens the file.
    const bounds = { all: line(1).length + 1, beginning: line(1).length + 1, end: 0 };
    for (let turns = 0; turns < 40; turns += 1) {
      const record = open(bounds);
      record.add(line(1));
      if (turns >= 20) await expect.poll(() => existsSync(file) && readFileSync(file, "utf8")).toContain(line(1));
      vi.useFakeTimers({ toFake: ["setTimeout"] });
      try {
        record.add(line(2));
        await vi.advanceTimersByTimeAsync(20);
        for (let turn = 0; turn < turns % 20; turn += 1) await new Promise((resolve) => setImmediate(resolve));
        record.add(line(3));
        record.closeNow();
      } finally {
        vi.useRealTimers();
      }
      await record.close();
      expect(numbers(), `after ${turns} turns`).toContain(3);
      expect(readdirSync(path.dirname(file))).toEqual(["c1.jsonl"]);
      rmSync(file);
    }
  });

  it("waits in memory within bounds for a disk that is slow", async () => {
    const length = line(10).length + 1;
    const record = open({ waiting: 10 * length, beginning: 2 * length, end: 3 * length });
    for (let seq = 10; seq < 99; seq += 1) record.add(line(seq));
    await record.close();
    const found = numbers();
    expect([...found.slice(0, 3), found.at(-1)]).toEqual([10, 11, "…", 98]);
    expect(found.length).toBeLessThan(14);
    const omitted = parseRecord(readFileSync(file, "utf8")).lines.find(({ type }) => type === "omitted");
    expect(omitted).toMatchObject({ lines: 89 - (found.length - 1) });
  });

  it("takes the place of what a killed shim has left of it", async () => {
    mkdirSync(path.dirname(file), { recursive: true });
    for (const left of [file, `${file}.new`]) writeFileSync(left, "left");
    const record = open();
    record.add(line(1));
    await record.close();
    expect(readdirSync(path.dirname(file))).toEqual(["c1.jsonl"]);
  });

  it("leaves nothing beside it where it cannot be shortened", async () => {
    const record = open({ all: line(1).length + 1, beginning: 1, end: 1 });
    record.add(line(1));
    await expect.poll(() => existsSync(file) && readFileSync(file, "utf8")).toContain(line(1));
    symlinkSync("/dev/full", `${file}.new`);
    record.add(line(2));
    await expect.poll(() => problems).toHaveLength(1);
    expect(numbers()).toEqual([1, 2]);
    expect(readdirSync(path.dirname(file))).toEqual(["c1.jsonl"]);
    // A pod that ends in order takes it along all the same.
    await record.remove();
    expect(readdirSync(path.dirname(file))).toEqual([]);
  });

  it("keeps its beginning and its end when it grows too long, any number of times", async () => {
    const length = line(10).length + 1;
    const record = open({ all: 8 * length, beginning: 2 * length, end: 3 * length });
    for (let seq = 10; seq < 40; seq += 1) {
      record.add(line(seq));
      await expect.poll(() => readFileSync(file, "utf8")).toContain(line(seq));
    }
    await record.close();
    const found = numbers();
    expect(found.slice(0, 3)).toEqual([10, 11, "…"]);
    expect(found.at(-1)).toBe(39);
    expect(found.length).toBeLessThan(10);
    const omitted = parseRecord(readFileSync(file, "utf8")).lines.find(({ type }) => type === "omitted");
    expect(omitted).toMatchObject({ lines: 30 - (found.length - 1) });
    expect(readdirSync(path.dirname(file))).toEqual(["c1.jsonl"]);
  });

  it("is given up where it cannot be written, and that is said once", async () => {
    writeFileSync(path.join(folder, "pods"), "no folder");
    const record = open();
    record.add(line(1));
    await expect.poll(() => problems).toMatchObject([{ code: expect.stringMatching(/EEXIST|ENOTDIR/) }]);
    record.add(line(2));
    await record.close();
    record.closeNow();
    expect(problems).toHaveLength(1);
  });

  it("is removed", async () => {
    const record = open();
    record.add(line(1));
    await record.remove();
    expect(readdirSync(path.dirname(file))).toEqual([]);
    await open().remove();
  });

  it("is not removed with that of an earlier pod with the same id, which ends late", async () => {
    const earlier = open();
    earlier.add(line(1));
    await expect.poll(() => readFileSync(file, "utf8")).toContain(line(1));
    const successor = open();
    successor.add(line(2));
    await expect.poll(() => readFileSync(file, "utf8")).toContain(line(2));
    await earlier.remove();
    expect(numbers()).toEqual([2]);
    await successor.close();
  });

  it("is not replaced by that of an earlier pod with the same id, which grows too long", async () => {
    const earlier = open({ all: line(1).length + 1, beginning: 1, end: 1 });
    earlier.add(line(1));
    await expect.poll(() => existsSync(file) && readFileSync(file, "utf8")).toContain(line(1));
    const successor = open();
    successor.add(line(2));
    await expect.poll(() => readFileSync(file, "utf8")).toContain(line(2));
    earlier.add(line(3));
    await earlier.close();
    successor.add(line(4));
    await successor.close();
    expect(numbers()).toEqual([2, 4]);
    expect(readdirSync(path.dirname(file))).toEqual(["c1.jsonl"]);
    expect(problems).toEqual([]);
  });
});

describe("what is appended to a record", () => {
  it("is all of it, once it has grown too long", () => {
    const longest = line(1).length + 2;
    for (const seq of [1, 2]) appendNow(file, [line(seq)], longest);
    expect(numbers()).toEqual([1, 2]);
    appendNow(file, [line(3)], longest);
    expect(numbers()).toEqual([3]);
  });
});

describe("shortening", () => {
  it("counts what it leaves out together with what was left out before", () => {
    const bounds = { beginning: line(1).length + 1, end: line(1).length + 1 };
    const once = shortened([1, 2, 3, 4].map(line).join("\n"), bounds, now());
    const twice = shortened(`${once}${line(5)}\n`, bounds, now());
    expect(parseRecord(twice).lines).toMatchObject([{ seq: 1 }, { type: "omitted", lines: 3 }, { seq: 5 }]);
  });
});

describe("old records", () => {
  const lives = async ({ pid }: { readonly pid: number }) => pid === 1;
  function make(id: string, pid: number, seconds: number): void {
    const header = {
      ...{ seq: 1, time: now().toISOString(), type: "header", schema: 1, by: "serve", shim: "s", version: "1" },
      ...{ flavour: "lcow", namespace: "ns", id, bundle: "/b", pid, processStartTime: "9", socket: "/s" },
      ...{ events: "", host: "", installed: "", logLevel: "info" },
    };
    const one = recordFile(folder, "ns", id);
    appendNow(one, [JSON.stringify(header)]);
    utimesSync(one, seconds, seconds);
  }

  it("are removed, the oldest first, but not those of shims that run", async () => {
    make("runs", 1, 1);
    for (const [index, id] of ["a", "b", "c"].entries()) make(id, 2, 10 + index);
    for (const left of ["notes.txt", "a.jsonl.new"]) writeFileSync(path.join(folder, "ns", left), "");
    await removeOldRecords(folder, lives, 2);
    expect((await recordFiles(folder)).map((one) => path.basename(one)).toSorted()).toEqual([
      "b.jsonl",
      "c.jsonl",
      "runs.jsonl",
    ]);
    expect(readdirSync(path.join(folder, "ns"))).not.toContain("a.jsonl.new");
  });

  it("may vanish meanwhile, or resist, without keeping the others", async () => {
    for (const [index, id] of ["a", "b", "c"].entries()) make(id, 2, 10 + index);
    symlinkSync(path.join(folder, "nowhere"), path.join(folder, "ns", "gone.jsonl"));
    mkdirSync(path.join(folder, "ns", "folder.jsonl"));
    utimesSync(path.join(folder, "ns", "folder.jsonl"), 1, 1);
    await removeOldRecords(folder, lives, 1);
    expect(readdirSync(path.join(folder, "ns")).toSorted()).toEqual(["c.jsonl", "folder.jsonl", "gone.jsonl"]);
  });

  it("are none where there is no folder", async () => {
    await removeOldRecords(path.join(folder, "none"), lives);
    expect(await recordFiles(path.join(folder, "none"))).toEqual([]);
  });
});
