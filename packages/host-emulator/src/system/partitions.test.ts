import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parsePartitions, type ReadDisk } from "./partitions.ts";

const size = 16 * 1024 * 1024;
/** All bytes that are not zero: by sector and offset, in hexadecimal. */
type Sectors = { readonly [sector: number]: { readonly [offset: number]: string } };

function disk(sectors: Sectors): ReadDisk {
  const image = Buffer.alloc(size);
  for (const [sector, pieces] of Object.entries(sectors)) {
    for (const [offset, hex] of Object.entries(pieces)) image.write(hex, Number(sector) * 512 + Number(offset), "hex");
  }
  return (position, length) => image.subarray(position, position + length);
}

const signature = { 510: "55aa" };
/** Two logical partitions in an extended one, as sfdisk 2.38 writes them. */
const masterBootRecord: Sectors = {
  0: { 440: "785634120000002021008361210000080000001000000082030005870601002000000040", ...signature },
  8192: { 447: "a2230083c30300000800000008000000c3040005050401001000000010", ...signature },
  12288: { 447: "e3240083050401000800000008", ...signature },
};
/** Partitions 1 and 3, as sfdisk 2.38 writes them. */
const guidTable: Sectors = {
  0: { 448: "0200eeffffff01000000ff7f", ...signature },
  1: {
    0: "4546492050415254000001005c00000021869fc9000000000100000000000000ff7f0000000000000008000000000000de7f",
    56: "11111111222233334444555555555555020000000000000080000000800000",
  },
  2: {
    0: "af3dc60f838472478e793d69d8477de4",
    31: "010008000000000000ff17",
    256: "af3dc60f838472478e793d69d8477de4",
    287: "030020000000000000ff27",
  },
};
const sectors = (read: ReadDisk, bytes = size) =>
  parsePartitions(read, bytes).map((part) => [part.number, part.offset / 512, part.size / 512]);

describe("partitions", () => {
  it("are read from a master boot record, with logical ones from 5", () => {
    expect(sectors(disk(masterBootRecord))).toEqual([
      [1, 2048, 4096],
      [5, 10240, 2048],
      [6, 14336, 2048],
    ]);
  });

  it("are read from a GUID partition table, by their index", () => {
    expect(sectors(disk(guidTable))).toEqual([
      [1, 2048, 4096],
      [3, 8192, 2048],
    ]);
  });

  it("are left out if they exceed the disk", () => {
    expect(sectors(disk(masterBootRecord), 14336 * 512)).toEqual([
      [1, 2048, 4096],
      [5, 10240, 2048],
    ]);
  });

  it.each<[string, Sectors]>([
    ["nothing", {}],
    ["a signature alone", { 0: signature }],
    ["a boot sector with code where a table would be", { 0: { 446: "ff".repeat(64), ...signature } }],
    ["a protective record without a table", { 0: { 448: "0200eeffffff01000000ff7f", ...signature } }],
    ["a table with entries of no valid length", { ...guidTable, 1: { ...guidTable[1], 84: "01000000" } }],
  ])("are none if there is %s", (_, content) => {
    expect(sectors(disk(content))).toEqual([]);
  });

  it("are none on a disk shorter than a sector", () => {
    expect(parsePartitions(() => Buffer.from("x"), 1)).toEqual([]);
  });

  it("end if the records of logical ones form a circle", () => {
    const circle = { ...masterBootRecord, 12288: masterBootRecord[8192] ?? {} };
    expect(sectors(disk(circle)).map(([number]) => number)).toEqual([1, 5, 6]);
  });

  it("are read within bounds, whatever the disk holds", () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 66, maxLength: 66 }),
        fc.uint8Array({ maxLength: 512 }),
        (table, header) => {
          const image = Buffer.alloc(8192);
          image.set(header, 512);
          image.set(table, 446);
          for (const at of [446, 462, 478, 494]) image[at] = 0;
          image.write("55aa", 510, "hex");
          image.write("EFI PART", 512, "latin1");
          for (const part of parsePartitions((position, length) => image.subarray(position, position + length), 8192)) {
            expect(part.offset + part.size).toBeLessThanOrEqual(8192);
          }
        },
      ),
    );
  });
});
