import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { longestRecordLine, parseRecord, parseRecordLine, recordFile, recordFolder } from "./lines.ts";

const time = "2026-11-29T12:00:00.000Z";
const header = {
  ...{ seq: 1, time, type: "header", schema: 1, by: "serve", shim: "containerd-shim-lcow-v2", version: "1.0.0" },
  ...{ flavour: "lcow", namespace: "ns", id: "c1", bundle: "/b", pid: 7, processStartTime: "9", socket: "/s" },
  ...{ events: "/e", host: "", installed: "/i", logLevel: "info" },
};
const began = { seq: 2, time, type: "began", kind: "phase", name: "start VM", attributes: { id: "vm" } };
const ended = {
  seq: 3,
  time,
  type: "ended",
  of: 2,
  name: "start VM",
  ms: 1.5,
  error: { code: "Internal", message: "no" },
};

describe("a line of a record", () => {
  it.each([
    header,
    began,
    { ...began, parent: 1, activityId: "a", kind: "host-call" },
    ended,
    { seq: 4, time, type: "state", subject: "VM", id: "v", operation: "create", from: "A", to: "B", outcome: "event" },
    { seq: 5, time, type: "occurred", name: "guest dialled", within: 2 },
    { seq: 6, time, type: "log", source: "guest", level: "warn", message: "hot", fields: { degrees: 90 } },
    { seq: 7, time, type: "omitted", lines: 12 },
  ])("is read: $type", (line) => {
    expect(parseRecordLine(JSON.stringify(line))).toEqual(line);
  });

  it.each([
    ["half of it", JSON.stringify(ended).slice(0, -3)],
    ["another type", JSON.stringify({ ...began, type: "toString" })],
    ["another schema", JSON.stringify({ ...header, schema: 2 })],
    ["no number", JSON.stringify({ ...began, seq: undefined })],
    ["no time", JSON.stringify({ ...began, time: "soon" })],
    ["a time of no clock", JSON.stringify({ ...began, time: "+275760-09-13T00:00:00.000Z" })],
    ["a duration that is none", JSON.stringify({ ...ended, ms: -1 })],
    ["a duration without end", JSON.stringify({ ...ended, ms: 1e300 })],
    ["a nested attribute", JSON.stringify({ ...began, attributes: { id: {} } })],
    ["another kind of work", JSON.stringify({ ...began, kind: "nap" })],
    ["an error without a code", JSON.stringify({ ...ended, error: { message: "no" } })],
    ["a list", "[1]"],
    ["nothing", "null"],
    ["too much", JSON.stringify({ ...began, name: "n".repeat(longestRecordLine) })],
  ])("is refused: %s", (_, text) => {
    expect(parseRecordLine(text)).toBeUndefined();
  });

  it("is refused or has fields of the right types, whatever the file holds", () => {
    const lines = [header, began, ended];
    const changed = fc
      .tuple(fc.constantFrom(...lines), fc.constantFrom(...lines.flatMap((line) => Object.keys(line))), fc.json())
      .map(([line, field, value]) => JSON.stringify({ ...line, [field]: JSON.parse(value) }));
    fc.assert(
      fc.property(fc.oneof(fc.json(), fc.string(), changed), (text) => {
        const line = parseRecordLine(text);
        if (line === undefined) return;
        expect([typeof line.seq, typeof line.time]).toEqual(["number", "string"]);
        if (line.type === "began")
          expect([typeof line.name, typeof (line.attributes ?? {})]).toEqual(["string", "object"]);
        if (line.type === "ended") expect([typeof line.name, typeof line.ms]).toEqual(["string", "number"]);
        if (line.type === "header") expect([typeof line.id, typeof line.pid]).toEqual(["string", "number"]);
      }),
    );
  });
});

describe("a record", () => {
  it("has its lines in the order of their numbers, section by section", () => {
    const later = { ...header, by: "delete" };
    const lost = { seq: 2, time, type: "occurred", name: "shim lost" };
    const text = [header, ended, began, later, lost].map((line) => JSON.stringify(line)).join("\n");
    const { lines, invalid } = parseRecord(`${text}\n{"seq":`);
    expect(lines).toEqual([header, began, ended, later, lost]);
    expect(invalid).toBe(1);
  });
});

describe("the folder of records", () => {
  it("is the system's, unless a variable moves it or switches it off", () => {
    expect(recordFolder({}, "linux")).toBe("/run/uvm-shim/pods");
    expect(recordFolder({ ProgramData: "D:\\Data" }, "win32")).toBe("D:\\Data\\uvm-shim\\pods");
    expect(recordFolder({}, "win32")).toBe("C:\\ProgramData\\uvm-shim\\pods");
    expect(recordFolder({ UVM_SHIM_RECORDS: "/r" }, "linux")).toBe("/r");
    expect(recordFolder({ UVM_SHIM_RECORDS: "none" }, "linux")).toBeUndefined();
    expect(recordFile("/r", "ns", "c1")).toBe("/r/ns/c1.jsonl");
  });
});
