import { describe, expect, it } from "vitest";
import {
  boolean,
  fileName,
  guid,
  integer,
  integers,
  oneOf,
  type Reader,
  shownValue,
  signedInteger,
  startsWith,
  text,
} from "./values.ts";

describe("values", () => {
  it.each([
    ["a-secret-1", "10 characters"],
    ["word", '"word"'],
    [7, "7"],
    [undefined, "nothing"],
    [null, "null"],
    [[], "[]"],
    [[4, 5], "[4,5]"],
    [{}, "{}"],
    [["a"], "a list"],
    [[["a"]], "a list"],
    [{ a: 1, b: "c" }, "an object"],
  ])("%j is shown as %s", (value, shown) => {
    expect(shownValue(value)).toBe(shown);
  });

  it.each(["1", "t", "T", "TRUE", "true", "True"])("%j is true", (word) => {
    expect(boolean("key", word)).toBe(true);
  });

  it.each(["0", "f", "F", "FALSE", "false", "False"])("%j is false", (word) => {
    expect(boolean("key", word)).toBe(false);
  });

  it.each(["", "yes", "tRUE", "on", "2", " true", "false\n"])("%j is neither", (word) => {
    const message = `key: got ${JSON.stringify(word)}, expected one of 1 t T TRUE true True 0 f F FALSE false False`;
    expect(() => boolean("key", word)).toThrow(message);
  });

  it("of numbers may have leading zeros", () => {
    expect(integer(0, 9)("key", "007")).toBe(7);
    expect(integer(0, 9)("key", "00000000000000000000007")).toBe(7);
    expect(integers(0, 9)("key", "01,2,01")).toEqual([1, 2, 1]);
  });

  it("of numbers have a sign where Go's type has one", () => {
    expect(["+5", "-0", "+0", "05"].map((each) => signedInteger(0, 9)("key", each))).toEqual([5, 0, 0, 5]);
    for (const reader of [integer(0, 9), integers(0, 9)]) {
      expect(() => reader("key", "+5")).toThrow('key: got "+5", expected');
    }
    for (const wrong of ["-1", "++1", "+", "+ 1", "+1.0", "+10"]) {
      expect(() => signedInteger(0, 9)("key", wrong)).toThrow("expected a whole number from 0 to 9");
    }
  });

  it("of GUIDs are the same in either case", () => {
    expect(guid("key", "ABCDEF12-1234-5678-1234-567812345678")).toBe("abcdef12-1234-5678-1234-567812345678");
  });

  it.each<readonly [Reader<unknown>, string, string]>([
    [integer(1, 9), "10", "a whole number from 1 to 9"],
    [integers(0, 7), "1;2", "whole numbers from 0 to 7 separated by commas"],
    [oneOf("None", "Firmware"), "none", "one of None, Firmware"],
    [startsWith("\\\\.\\pipe\\"), "pipe", "a name that starts with \\\\.\\pipe\\"],
  ])("that are invalid are reported with what is expected: %#", (reader, given, accepted) => {
    expect(() => reader("key", given)).toThrow(`key: got ${JSON.stringify(given)}, expected ${accepted}`);
  });

  it.each<readonly [Reader<unknown>, string, string]>([
    [fileName, "folder/file", "the name of a file, without a folder"],
    [guid, "{11111111-2222-3333-4444-555555555555}", "a GUID without braces"],
    [guid, "tok-7f3a", "a GUID without braces"],
    [boolean, "tok-7f3a", "one of 1 t T"],
    [boolean, "/tok7f3a", "one of 1 t T"],
    [integer(1, 9), "0x7f3a5c", "a whole number"],
    [integers(1, 9), "1,tok7f3a", "whole numbers"],
    [oneOf("None"), "C:\\tok-7f3a", "one of None"],
    [startsWith("\\\\.\\pipe\\"), "tok-7f3a", "a name that starts with"],
  ])("that may be secrets are reported by their length: %#", (reader, given, accepted) => {
    expect(() => reader("key", given)).toThrow(`key: got ${given.length} characters, expected ${accepted}`);
  });

  it("of free text, and those that are no mistyped words, are not repeated", () => {
    expect(() => text("key", "a\nb")).toThrow("key: got 3 characters, expected text without control characters");
    expect(() => integer(1, 9)("key", "s".repeat(41))).toThrow("key: got 41 characters, expected a whole number");
  });
});
