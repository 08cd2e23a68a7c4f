import { describe, expect, it } from "vitest";
import { JsonLines } from "./json-lines.ts";

describe("JsonLines", () => {
  it("joins lines from chunks that split characters", () => {
    const bytes = new TextEncoder().encode('"ä"\n"b"\nrest');
    const lines = new JsonLines(16);
    const all = [...bytes].flatMap((byte) => lines.push(Uint8Array.of(byte)));
    expect(all).toEqual(['"ä"', '"b"']);
    expect(lines.push(Uint8Array.of(0x0a))).toEqual(["rest"]);
  });

  it("refuses a line that is longer than its bound", () => {
    const lines = new JsonLines(4);
    expect(lines.push(new TextEncoder().encode("1234\n123"))).toEqual(["1234"]);
    expect(() => lines.push(new TextEncoder().encode("45"))).toThrow("line exceeds 4 bytes");
  });
});
