import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { LineSplitter, longestLogLine, parseLogLine } from "./log-lines.ts";

function split(...chunks: readonly (string | Buffer)[]): readonly (readonly [string, boolean])[] {
  const lines: [string, boolean][] = [];
  const splitter = new LineSplitter((line, truncated) => void lines.push([line, truncated]));
  for (const chunk of chunks) splitter.push(Buffer.from(chunk));
  splitter.end();
  return lines;
}

describe("LineSplitter", () => {
  it("yields the same lines however the bytes are split", () => {
    fc.assert(
      fc.property(fc.array(fc.string({ unit: "grapheme" })), fc.array(fc.nat(200)), (texts, cuts) => {
        const lines = texts.map((text) => text.replaceAll("\n", ""));
        const bytes = Buffer.from(lines.map((line) => `${line}\n`).join(""));
        const places = [0, ...cuts.map((cut) => cut % (bytes.length + 1)).sort((a, b) => a - b), bytes.length];
        const chunks = places.slice(1).map((end, index) => bytes.subarray(places[index], end));
        expect(split(...chunks)).toEqual(lines.map((line) => [line, false]));
      }),
    );
  });

  it("yields the text after the last line end", () => {
    expect(split("whole\npart")).toEqual([
      ["whole", false],
      ["part", false],
    ]);
  });

  it("keeps no more than the bound of a line, and marks the line as cut", () => {
    const long = "x".repeat(longestLogLine);
    expect(split(`${long}\n`, `${long}y`, "z\n", "next\n")).toEqual([
      [long, false],
      [long, true],
      ["next", false],
    ]);
  });
});

describe("parseLogLine", () => {
  it.each([
    ["trace", "trace"],
    ["debug", "debug"],
    ["info", "info"],
    ["warning", "warn"],
    ["warn", "warn"],
    ["error", "error"],
    ["fatal", "error"],
    ["panic", "error"],
    ["loud", "info"],
    ["constructor", "info"],
    [7, "info"],
    [undefined, "info"],
  ])("reads level %j as %s", (level, expected) => {
    expect(parseLogLine(JSON.stringify({ level, msg: "hello", time: "now", cid: 3 }), false)).toEqual({
      level: expected,
      message: "hello",
      fields: { "guest.time": "now", "guest.cid": 3 },
    });
  });

  it("accepts level and message in any letter case, and keeps the case of all other names", () => {
    expect(parseLogLine('{"Level":"Warning","MSG":"hello","Source":"ETW","source":"other"}', false)).toEqual({
      level: "warn",
      message: "hello",
      fields: { "guest.Source": "ETW", "guest.source": "other" },
    });
  });

  it.each(["goroutine 1 [running]:", "", "[1]", "null", "7", '{"level":', "\u0000"])(
    "passes %j on unchanged",
    (line) => {
      expect(parseLogLine(line, false)).toEqual({ level: "warn", message: line, fields: {} });
    },
  );

  it("marks a line that was cut", () => {
    expect(parseLogLine('{"msg":"hel', true)).toEqual({
      level: "warn",
      message: '{"msg":"hel',
      fields: { truncated: true },
    });
  });

  it("gives no field a name reserved for the host, or one that ends a line", () => {
    const forged = { id: "other", namespace: "other", guest: "other", time: 1, error: { a: ["b"] }, truncated: null };
    expect(parseLogLine(JSON.stringify({ msg: "x", ...forged, "a=1\ntime=2 level=error": true }), true).fields).toEqual(
      {
        "guest.id": "other",
        "guest.namespace": "other",
        "guest.guest": "other",
        "guest.time": 1,
        "guest.error": '{"a":["b"]}',
        "guest.truncated": null,
        "guest.a_1_time_2_level_error": true,
        truncated: true,
      },
    );
  });

  it("bounds fields in number, name and length, and states what was omitted", () => {
    const given = Object.fromEntries(Array.from({ length: 40 }, (_, index) => [`${"k".repeat(100)}${index}`, 0]));
    const { fields } = parseLogLine(JSON.stringify({ long: "v".repeat(5_000), ...given }), false);
    expect(Object.keys(fields).every((name) => name.length <= "guest.".length + 64)).toBe(true);
    expect(fields.left_out).toBe(41 - 32);
    expect(fields["guest.long"]).toBe(`${"v".repeat(1024)}… (cut: 5000 characters in all)`);
  });

  it("never throws, and never changes a prototype", () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json()), fc.boolean(), (line, truncated) => {
        const parsed = parseLogLine(line, truncated);
        expect(typeof parsed.message).toBe("string");
      }),
    );
    const { fields } = parseLogLine('{"msg":"x","__proto__":{"polluted":true}}', false);
    expect(Object.getPrototypeOf(fields)).toBe(Object.prototype);
  });

  it.each([
    ["deep", `{"msg":"x","a":${"[".repeat(9)}${"]".repeat(9)}}`],
    ["full of objects", `{"msg":"x","a":[${"{},".repeat(2_000)}{}]}`],
    ["full of fields", `{${Array.from({ length: 300 }, (_, index) => `"k${index}":0`).join(",")}}`],
  ])("does not parse an object that is %s", (_what, line) => {
    expect(parseLogLine(line, false)).toEqual({ level: "warn", message: line, fields: {} });
  });
});

describe("a line about an event of Windows", () => {
  const line = (fields: object) => parseLogLine(JSON.stringify({ Source: "ETW", ...fields }), false);

  it.each(["message", "Message"])("has its text in the field %s", (name) => {
    expect(line({ level: "warning", [name]: "disk is slow", ProviderName: "p" })).toEqual({
      level: "warn",
      message: "disk is slow",
      fields: { "guest.Source": "ETW", "guest.ProviderName": "p" },
    });
  });

  it.each([
    ["Information", "info"],
    ["Verbose", "debug"],
    ["Critical", "error"],
    ["Error", "error"],
    [undefined, "info"],
  ])("of level %s is one of level %s", (level, expected) => {
    expect(line({ level, message: "x" }).level).toBe(expected);
  });

  it("has the event's text even if there is another, and fields of other sources keep theirs", () => {
    expect(line({ msg: "a", message: "b" })).toMatchObject({ message: "b", fields: { "guest.Source": "ETW" } });
    const other = parseLogLine('{"message":"b"}', false);
    expect(other).toMatchObject({ message: "", fields: { "guest.message": "b" } });
  });
});
