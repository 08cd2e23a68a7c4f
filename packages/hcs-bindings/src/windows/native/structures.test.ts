import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { guidBytes, guidText, Structure, wideText } from "./structures.ts";

describe("structures", () => {
  it("align members to their size, and have a size that aligns the next structure", () => {
    const structure = new Structure({ a: "uint16", b: "pointer", c: "guid", d: "uint16", e: "int32", f: "uint16" });
    expect(structure.offsets).toEqual({ a: 0, b: 8, c: 16, d: 32, e: 36, f: 40 });
    expect(structure.size).toBe(48);
    expect(new Structure({ a: "guid" }).size).toBe(16);
  });

  it("decode what they encoded", () => {
    const structure = new Structure({ a: "uint16", b: "pointer", c: "guid", d: "uint32", e: "int32", f: "uint64" });
    fc.assert(
      fc.property(
        fc.record({
          a: fc.nat(0xffff),
          b: fc.bigInt(0n, 2n ** 64n - 1n),
          c: fc.uuid(),
          d: fc.nat(0xffffffff),
          e: fc.integer(),
          f: fc.bigInt(0n, 2n ** 64n - 1n),
        }),
        (values) => {
          expect(structure.decode(structure.encode(values))).toEqual(values);
        },
      ),
    );
  });

  it("are zero by default", () => {
    expect(new Structure({ a: "uint64", b: "uint32" }).encode({})).toEqual(Buffer.alloc(16));
  });
});

describe("GUIDs", () => {
  it("have numbers in little endian, and the other bytes in the order of the text", () => {
    const bytes = guidBytes("00112233-4455-6677-8899-AABBCCDDEEFF");
    expect(bytes.toString("hex")).toBe("33221100554477668899aabbccddeeff");
    expect(guidText(bytes)).toBe("00112233-4455-6677-8899-aabbccddeeff");
    expect(() => guidBytes("{00112233-4455-6677-8899-aabbccddeeff}")).toThrow("expected a GUID");
  });
});

it("writes texts in UTF-16 with a final NUL", () => {
  expect(wideText("é😀").toString("hex")).toBe("e9003dd800de0000");
});
