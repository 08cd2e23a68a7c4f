/**
 * Structures of the 64-bit Windows ABI: each member is aligned to its size, the structure to its largest member. A
 * compiled program compares them with the Windows headers.
 */
import { checkGuid } from "@uvm-shim/hcs-schema";

interface MemberValues {
  readonly int32: number;
  readonly uint16: number;
  readonly uint32: number;
  readonly uint64: bigint;
  readonly pointer: bigint;
  /** Text in lower case. */
  readonly guid: string;
  /** Text of at most 32 UTF-16 characters, NUL-terminated if it is shorter. */
  readonly wide32: string;
}

type MemberType = keyof MemberValues;

/** The members of a C structure, in order. */
export interface Members {
  readonly [name: string]: MemberType;
}

/** The values of a structure's members. */
export type StructureValues<Described extends Members> = {
  readonly [Name in keyof Described]: MemberValues[Described[Name]];
};

interface Memory {
  readonly size: number;
  readonly alignment: number;
}

const memory: { readonly [Type in MemberType]: Memory } = {
  int32: { size: 4, alignment: 4 },
  uint16: { size: 2, alignment: 2 },
  uint32: { size: 4, alignment: 4 },
  uint64: { size: 8, alignment: 8 },
  pointer: { size: 8, alignment: 8 },
  guid: { size: 16, alignment: 4 },
  wide32: { size: 64, alignment: 2 },
};

const up = (offset: number, alignment: number): number => Math.ceil(offset / alignment) * alignment;

/** Lays out a C structure as compilers for 64-bit Windows do: each member at a multiple of its alignment. */
export class Structure<Described extends Members> {
  readonly size: number;
  readonly offsets: { readonly [Name in keyof Described]: number };
  readonly #members: Described;

  constructor(members: Described) {
    this.#members = members;
    let end = 0;
    let alignment = 1;
    const offsets: { [name: string]: number } = {};
    for (const [name, type] of Object.entries(members)) {
      const { size, alignment: own } = memory[type];
      offsets[name] = up(end, own);
      end = offsets[name] + size;
      alignment = Math.max(alignment, own);
    }
    this.size = up(end, alignment);
    this.offsets = offsets as { readonly [Name in keyof Described]: number };
  }

  /** Absent members are zero. */
  encode(values: Partial<StructureValues<Described>>): Buffer {
    const bytes = Buffer.alloc(this.size);
    for (const [name, value] of Object.entries(values)) {
      const type = this.#members[name];
      if (type !== undefined) write(bytes, this.offsets[name] ?? 0, type, value as number | bigint | string);
    }
    return bytes;
  }

  decode(bytes: Buffer): StructureValues<Described> {
    return Object.fromEntries(
      Object.entries(this.#members).map(([name, type]) => [name, read(bytes, this.offsets[name] ?? 0, type)]),
    ) as StructureValues<Described>;
  }
}

function write(bytes: Buffer, offset: number, type: MemberType, value: number | bigint | string): void {
  switch (type) {
    case "int32":
      bytes.writeInt32LE(Number(value), offset);
      return;
    case "uint16":
      bytes.writeUInt16LE(Number(value), offset);
      return;
    case "uint32":
      bytes.writeUInt32LE(Number(value), offset);
      return;
    case "uint64":
    case "pointer":
      bytes.writeBigUInt64LE(BigInt(value), offset);
      return;
    case "guid":
      guidBytes(String(value)).copy(bytes, offset);
      return;
    case "wide32":
      bytes.write(String(value), offset, memory.wide32.size, "utf16le");
      return;
  }
}

function read(bytes: Buffer, offset: number, type: MemberType): number | bigint | string {
  switch (type) {
    case "int32":
      return bytes.readInt32LE(offset);
    case "uint16":
      return bytes.readUInt16LE(offset);
    case "uint32":
      return bytes.readUInt32LE(offset);
    case "uint64":
    case "pointer":
      return bytes.readBigUInt64LE(offset);
    case "guid":
      return guidText(bytes.subarray(offset, offset + 16));
    case "wide32":
      return firstText(bytes.subarray(offset, offset + memory.wide32.size));
  }
}

/** GUID as one 32-bit number, two 16-bit numbers and eight bytes. Throws SchemaError for an invalid GUID. */
export function guidBytes(guid: string): Buffer {
  const bytes = Buffer.from(checkGuid(guid).replaceAll("-", ""), "hex");
  bytes.subarray(0, 4).reverse();
  bytes.subarray(4, 6).reverse();
  bytes.subarray(6, 8).reverse();
  return bytes;
}

/** A GUID's text, in lower case, of the bytes that Windows has of it: the first three groups are little endian. */
export function guidText(bytes: Uint8Array): string {
  const ordered = Buffer.from(bytes);
  ordered.subarray(0, 4).reverse();
  ordered.subarray(4, 6).reverse();
  ordered.subarray(6, 8).reverse();
  return ordered.toString("hex").replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}

/** The UTF-16 text at the start of the memory, up to the first NUL character or the end. */
export function firstText(bytes: Buffer): string {
  const text = bytes.toString("utf16le");
  const end = text.indexOf("\0");
  return end === -1 ? text : text.slice(0, end);
}

/** A text as PCWSTR. */
export function wideText(text: string): Buffer {
  return Buffer.from(`${text}\0`, "utf16le");
}
