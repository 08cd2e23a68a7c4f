import { describe, expect, it } from "vitest";
import { boolean, guid, integer, integers } from "./values.ts";

describe("values", () => {
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

  it("of numbers may have zeros before them", () => {
    expect(integer(0, 9)("key", "007")).toBe(7);
    expect(integers(0, 9)("key", "01,2,01")).toEqual([1, 2, 1]);
  });

  it("of GUIDs are the same in either case", () => {
    expect(guid("key", "ABCDEF12-1234-5678-1234-567812345678")).toBe("abcdef12-1234-5678-1234-567812345678");
  });
});
