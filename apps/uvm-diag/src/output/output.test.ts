import { describe, expect, it } from "vitest";
import { hostile } from "../testing/samples.ts";
import { ago, duration, offset } from "./duration.ts";
import { screenOutput, writeTable } from "./output.ts";
import { plain, plainJson, plainLines } from "./plain.ts";

function captured(screen: { readonly isTTY?: boolean; readonly columns?: number } = {}, env: NodeJS.ProcessEnv = {}) {
  const texts: string[] = [];
  const output = screenOutput({ ...screen, write: (more) => texts.push(more) }, { write: () => {} }, env);
  return { output, text: () => texts.join("") };
}

describe("durations", () => {
  it.each([
    [0, "0 ms"],
    [0.42, "0.4 ms"],
    [9.96, "10 ms"],
    [12.6, "13 ms"],
    [999, "999 ms"],
    [999.7, "1.00 s"],
    [1240, "1.24 s"],
    [12_340, "12.3 s"],
    [59_949, "59.9 s"],
    [59_990, "1 min"],
    [185_000, "3 min 5 s"],
    [3_599_900, "60 min"],
    [7_380_000, "2 h 3 min"],
    [187_200_000, "2 d 4 h"],
    [-1500, "-1.50 s"],
  ])("of %d ms are %s", (milliseconds, text) => expect(duration(milliseconds)).toBe(text));

  it.each([
    [0, "0 ms"],
    [59_900, "59.9 s"],
    [60_000, "1:00.0"],
    [7_201_310, "2:00:01.3"],
  ])("after a beginning, %d ms, are %s", (milliseconds, text) => expect(offset(milliseconds)).toBe(text));

  it("are counted from a time on, if it is one", () => {
    const now = new Date("2026-11-29T12:00:10.500Z");
    expect(ago("2026-11-29T12:00:00.000Z", now)).toBe("10 s");
    expect(ago("2026-11-29T12:00:10.000Z", now)).toBe("now");
    expect(ago("2026-11-29T13:00:00.000Z", now)).toBe("now");
    expect(ago("never", now)).toBeUndefined();
    expect(ago(undefined, now)).toBeUndefined();
  });
});

describe("text of others", () => {
  it("moves no cursor, changes no colour and no direction", () => {
    expect(plain(hostile)).toBe(`\\u{1b}[31m<script>alert("x")</script>\\u{202e}&amp;'`);
    expect(plain("a\nb\tc\u0085\u2028")).toBe("a\\nb\\tc\\u{85}\\u{2028}");
    expect(plain("Zoë, 日本, 🐳")).toBe("Zoë, 日本, 🐳");
  });

  it("in JSON is the same value, in characters that move nothing", () => {
    const value = { text: `${hostile}\u009b2J\n`, next: "𝄞\ud800" };
    const text = plainJson(value, 2);
    expect(text.replaceAll("\n", "")).not.toMatch(/[\p{Cc}\u202e]/u);
    expect(JSON.parse(text)).toEqual(value);
    expect(text).toContain("𝄞");
  });

  it("in a note is as harmless", () => {
    const notes: string[] = [];
    screenOutput({ write: () => {} }, { write: (more) => notes.push(more) }, {}).note(hostile);
    expect(notes).toEqual([`${plain(hostile)}\n`]);
  });

  it("of several lines keeps them", () => {
    expect(plainLines("one\r\n\ttwo\rthree\u001b")).toBe("one\n\ttwo\\rthree\\u{1b}");
  });
});

describe("a table", () => {
  it("has aligned columns, and none that is empty", () => {
    const { output, text } = captured();
    writeTable(
      output,
      ["NAME", "EMPTY", "PID", "LAST"],
      [
        ["default/web", undefined, { text: "7", align: "right" }, "x"],
        [`a${"\n"}b`, "", { text: "4121", align: "right" }],
      ],
    );
    expect(text()).toBe("NAME         PID   LAST\ndefault/web     7  x\na\\nb         4121\n");
  });

  it("cuts its last column at the edge of a terminal, and nowhere else", () => {
    const { output, text } = captured({ isTTY: true, columns: 20 }, { NO_COLOR: "1" });
    writeTable(output, ["NAME", "DETAILS"], [["web", "0123456789012345678901234567890"]]);
    expect(text()).toBe("NAME  DETAILS\nweb   0123456789012…\n");
    const pipe = captured();
    writeTable(pipe.output, ["NAME"], [["x".repeat(500)]]);
    expect(pipe.text()).toContain("x".repeat(500));
  });
});

describe("colours", () => {
  it.each([
    ["a terminal", { isTTY: true }, {}, true],
    ["a pipe", {}, {}, false],
    ["NO_COLOR", { isTTY: true }, { NO_COLOR: "1" }, false],
    ["an empty NO_COLOR", { isTTY: true }, { NO_COLOR: "" }, true],
    ["a dumb terminal", { isTTY: true }, { TERM: "dumb" }, false],
    ["FORCE_COLOR in a pipe", {}, { FORCE_COLOR: "1" }, true],
    ["both", {}, { FORCE_COLOR: "1", NO_COLOR: "1" }, false],
  ])("of %s", (_, screen, env, expected) => {
    const { output } = captured(screen, env);
    expect(output.style("red", "x") !== "x").toBe(expected);
  });
});
