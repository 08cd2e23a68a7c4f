import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Message, messages } from "./message.ts";

interface Item {
  readonly name: string;
  readonly item: Item | null;
}

const message = messages(() => ({ example: { Item } }));
const Item = message<Message<Item, Partial<Item>>>("1 name string,2 item example.Item");

/** A message with one field, `value`. */
function one(type: string, label = ""): Message<{ value: unknown }, { value?: unknown }> {
  return message(`1${label} value ${type}`);
}
const bytesOf = (type: string, value: unknown, label = ""): number[] => [
  ...one(type, label).encode({ value }).finish(),
];
const readBack = (type: string, bytes: readonly number[], label = ""): unknown =>
  one(type, label).decode(Uint8Array.from(bytes)).value;

describe("fields", () => {
  it.each([
    ["int32", -1, [8, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1]],
    ["uint32", 300, [8, 0xac, 2]],
    ["sint32", -2, [8, 3]],
    ["int64", -1, [8, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1]],
    ["uint64", 2 ** 40, [8, 128, 128, 128, 128, 128, 32]],
    ["sint64", -(2 ** 40), [8, 255, 255, 255, 255, 255, 63]],
    ["enum", -4, [8, 252, 255, 255, 255, 255, 255, 255, 255, 255, 1]],
    ["bool", true, [8, 1]],
    ["fixed32", 1, [13, 1, 0, 0, 0]],
    ["sfixed32", -1, [13, 255, 255, 255, 255]],
    ["float", 1.5, [13, 0, 0, 192, 63]],
    ["fixed64", 2 ** 32, [9, 0, 0, 0, 0, 1, 0, 0, 0]],
    ["sfixed64", -1, [9, 255, 255, 255, 255, 255, 255, 255, 255]],
    ["double", -0.5, [9, 0, 0, 0, 0, 0, 0, 224, 191]],
    ["string", "aé", [10, 3, 97, 195, 169]],
    ["bytes", Uint8Array.of(0, 255), [10, 2, 0, 255]],
  ])("of the type %s are on the wire as others write them: %j", (type, value, bytes) => {
    expect(bytesOf(type, value)).toEqual(bytes);
    expect(readBack(type, bytes)).toEqual(value);
  });

  it.each([
    ["int32", fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 })],
    ["sint32", fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 })],
    ["sfixed32", fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 })],
    ["uint32", fc.integer({ min: 0, max: 2 ** 32 - 1 })],
    ["fixed32", fc.integer({ min: 0, max: 2 ** 32 - 1 })],
    ["int64", fc.maxSafeInteger()],
    ["sint64", fc.maxSafeInteger()],
    ["sfixed64", fc.maxSafeInteger()],
    ["uint64", fc.maxSafeNat()],
    ["fixed64", fc.maxSafeNat()],
    ["double", fc.double({ noNaN: true }).filter((value) => !Object.is(value, -0))],
    ["string", fc.string({ unit: "grapheme" })],
    ["bytes", fc.uint8Array()],
  ])("of the type %s come back as they were, alone, repeated and in maps", (type, values: fc.Arbitrary<unknown>) => {
    fc.assert(
      fc.property(fc.array(values), fc.dictionary(fc.string(), values), (list, map) => {
        for (const value of list) expect(readBack(type, bytesOf(type, value))).toEqual(value);
        expect(readBack(type, bytesOf(type, list, "*"), "*")).toEqual(list);
        expect({ ...(readBack(type, bytesOf(type, map, "string:"), "string:") as object) }).toEqual({ ...map });
      }),
    );
  });

  it("are at the type's greatest where a number is greater", () => {
    const most = [255, 255, 255, 255, 255, 255, 255, 255];
    expect(bytesOf("uint64", 2 ** 64)).toEqual([8, ...most, 255, 1]);
    expect(bytesOf("uint64", 1e300)).toEqual([8, ...most, 255, 1]);
    expect(bytesOf("int64", 2 ** 63)).toEqual([8, ...most, 127]);
    expect(bytesOf("fixed64", Number.POSITIVE_INFINITY)).toEqual([9, ...most]);
    expect(bytesOf("sfixed64", 2 ** 63)).toEqual([9, ...most.slice(1), 127]);
  });

  it("are left out with their default, and told from it where they are optional", () => {
    expect(bytesOf("int32", 0)).toEqual([]);
    expect(bytesOf("string", "")).toEqual([]);
    expect(bytesOf("bytes", new Uint8Array())).toEqual([]);
    expect(bytesOf("bool", false, "?")).toEqual([8, 0]);
    expect(readBack("bool", [8, 0], "?")).toBe(false);
    expect(readBack("bool", [], "?")).toBeNull();
    expect(readBack("bool", [])).toBe(false);
    expect([readBack("int32", [], "*"), readBack("int32", [], "string:")]).toEqual([[], {}]);
    expect(new Item()).toMatchObject({ name: "", item: null });
  });

  it("that are repeated are read packed and one by one", () => {
    expect(bytesOf("uint32", [1, 300], "*")).toEqual([10, 3, 1, 0xac, 2]);
    expect(readBack("uint32", [8, 1, 10, 2, 2, 3], "*")).toEqual([1, 2, 3]);
  });

  it("have the last value that was written, and messages the fields of all", () => {
    expect(readBack("int32", [8, 5, 8, 0])).toBe(0);
    const first = [0x12, 3, 10, 1, 97];
    const second = [0x12, 5, 0x12, 3, 10, 1, 98];
    expect(Item.decode(Uint8Array.from([...first, ...second])).item).toMatchObject({ name: "a", item: { name: "b" } });
  });

  it("with numbers for keys of maps", () => {
    expect(bytesOf("string", { 7: "a" }, "int32:")).toEqual([10, 5, 8, 7, 18, 1, 97]);
    expect(readBack("string", [10, 5, 8, 7, 18, 1, 97], "int32:")).toEqual({ 7: "a" });
  });

  it("named __proto__ change no prototype", () => {
    const map = JSON.parse('{"__proto__":"x"}');
    const read = readBack("string", bytesOf("string", map, "string:"), "string:") as object;
    expect([Object.keys(read), Object.getPrototypeOf(read)]).toEqual([["__proto__"], Object.prototype]);
  });
});

describe("bytes of others", () => {
  it("may have fields that are not known, or have another type", () => {
    const unknown = [0x10, 1, 0x1d, 1, 2, 3, 4, 0x21, 1, 2, 3, 4, 5, 6, 7, 8, 0x2a, 1, 9, 0x33, 0x08, 1, 0x34];
    expect(readBack("int32", [...unknown, 8, 7, 10, 1, 1])).toBe(7);
  });

  it.each([
    ["a field number of zero", [0, 1]],
    ["an end within a varint", [8, 0x80]],
    ["a varint of eleven bytes", [8, ...Array(10).fill(0x80), 1]],
    ["a length beyond the end", [0x12, 5, 1]],
    ["an end within a fixed number", [0x1d, 1]],
    ["a group that does not end", [0x33, 8, 1]],
    ["a group that ends as another", [0x33, 0x3c]],
    ["the end of a group that has not begun", [0x34]],
    ["wire type 6", [0x36]],
  ])("are refused with %s", (_, bytes) => {
    expect(() => readBack("int32", bytes)).toThrow(/illegal tag|out of range|invalid/);
  });

  it("are refused with text that is not UTF-8, and with lengths beyond the message around them", () => {
    expect(() => readBack("string", [10, 1, 0xff])).toThrow(TypeError);
    expect(() => Item.decode(Uint8Array.of(0x12, 2, 10, 5, 1, 1, 1, 1, 1))).toThrow("index out of range");
  });

  it("are read to a depth of a hundred messages", () => {
    const nested = (depth: number): number[] => {
      let bytes: number[] = [];
      for (let level = 0; level < depth; level++) {
        const length = bytes.length < 128 ? [bytes.length] : [(bytes.length & 127) | 128, bytes.length >> 7];
        bytes = [0x12, ...length, ...bytes];
      }
      return bytes;
    };
    expect(Item.decode(Uint8Array.from(nested(100))).item).not.toBeNull();
    expect(() => Item.decode(Uint8Array.from(nested(101)))).toThrow("nested too deeply");
    const groups = [...Array(102).fill(0x33), ...Array(102).fill(0x34)];
    expect(() => Item.decode(Uint8Array.from(groups))).toThrow("max depth exceeded");
  });

  it("end with a message or an error, whatever they are", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
        try {
          expect(Item.decode(bytes)).toBeInstanceOf(Item);
        } catch (error) {
          expect((error as Error).message).toMatch(/illegal tag|out of range|invalid|max depth|not valid/);
        }
      }),
    );
  });
});

describe("values of a wrong type", () => {
  it.each([
    ["string", 5, "value: expected a string, got number"],
    ["uint32", "5", "value: expected a number, got string"],
    ["bytes", [1], "value: expected a Uint8Array, got an array"],
    ["example.Item", "x", "value: expected a message, got string"],
  ])("of a %s are refused: %j", (type, value, what) => {
    expect(() => bytesOf(type, value)).toThrow(what);
  });

  it("are refused where a list or a map is expected, and in them", () => {
    expect(() => bytesOf("string", "x", "*")).toThrow("value: expected an array, got string");
    expect(() => bytesOf("string", [1], "*")).toThrow("value: expected a string, got number");
    expect(() => bytesOf("string", { a: 1 }, "string:")).toThrow("value: expected a string, got number");
  });

  it("that contain themselves are refused", () => {
    const circle: { name: string; item?: unknown } = { name: "a" };
    circle.item = circle;
    expect(() => Item.encode(circle as Item)).toThrow("nested too deeply");
  });
});
