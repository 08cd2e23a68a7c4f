import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { AttachPrelude } from "./attach-prelude.ts";

const u32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value >>> 0);
  return bytes;
};
const text = (value: string): Buffer => {
  const length = Buffer.alloc(2);
  length.writeUInt16LE(Buffer.byteLength(value));
  return Buffer.concat([length, Buffer.from(value)]);
};
const message = (type: number, ...parts: readonly Buffer[]): Buffer => {
  const body = Buffer.concat(parts);
  return Buffer.concat([u32(7 + body.length), Buffer.from([type, 1, 0]), body]);
};
const hello = message(100, u32(65_536), text("9P2000.L"));
const attachTo = (name: string): Buffer => message(104, u32(0), u32(-1), text("root"), text(name), u32(0));
const pathOf = (name: string): string => (name === "data" ? "/shares/data" : "/shares/none");

/** What comes of the bytes in pieces of these lengths. */
function through(bytes: Buffer, lengths: readonly number[]) {
  const prelude = new AttachPrelude(pathOf);
  const forwarded: Buffer[] = [];
  let attached: string | undefined;
  let at = 0;
  for (const length of [...lengths, bytes.length]) {
    const part = prelude.push(bytes.subarray(at, at + length));
    forwarded.push(part.forward);
    attached ??= part.attached;
    at += length;
  }
  return { forwarded: Buffer.concat(forwarded), attached };
}

describe("the prelude of a 9p mount", () => {
  it("names a share by a path of the server, in whatever pieces it comes", () => {
    const requests = Buffer.from("more requests");
    fc.assert(
      fc.property(fc.array(fc.nat(40)), fc.constantFrom("data", "other", "", "ü"), (lengths, name) => {
        const { forwarded, attached } = through(Buffer.concat([hello, attachTo(name), requests]), lengths);
        expect(attached).toBe(name);
        expect(forwarded).toEqual(Buffer.concat([hello, attachTo(pathOf(name)), requests]));
      }),
    );
  });

  it.each([
    ["another request", message(110, u32(0)), "type 110"],
    ["an authentication", message(102, u32(0), text(""), text("")), "type 102"],
    ["a message without end", Buffer.from("ffffff7f640000", "hex"), "2147483647 bytes"],
    ["a message that is too short", Buffer.from("00000000640000", "hex"), "0 bytes"],
    ["a name beyond the message", message(104, u32(0), u32(-1), text(""), Buffer.from([9, 0])), "exceeds its message"],
    ["no name", message(104, u32(0), u32(-1), text("")), "exceeds its message"],
  ])("is not begun with %s", (_, bytes, why) => {
    expect(() => through(Buffer.concat([hello, bytes]), [])).toThrow(why);
  });
});
