/** The parts of an ELF file that the kernel reads before it executes it (elf(5)). */
import { readSync } from "node:fs";

/** What an ELF file says about who can run it. */
export interface ElfFile {
  /** e_machine: the architecture that it was built for. */
  readonly machine: number;
  /** The program that loads it; undefined if it needs none, or if that is unknown. */
  readonly loader: string | undefined;
}

const magic = 0x7f454c46;
const loaderSegment = 3;
/** The kernel's limits of program headers and of the loader's name. */
const mostHeaderBytes = 65_536;
const longestName = 4096;

interface Layout {
  readonly header: number;
  readonly tableOffset: number;
  readonly entrySize: number;
  readonly entryCount: number;
  readonly entry: { readonly size: number; readonly offset: number; readonly length: number };
  readonly hasLongOffsets: boolean;
}

const layouts: { readonly [elfClass: number]: Layout } = {
  1: {
    ...{ header: 52, tableOffset: 28, entrySize: 42, entryCount: 44, hasLongOffsets: false },
    entry: { size: 32, offset: 4, length: 16 },
  },
  2: {
    ...{ header: 64, tableOffset: 32, entrySize: 54, entryCount: 56, hasLongOffsets: true },
    entry: { size: 56, offset: 8, length: 32 },
  },
};

/** Undefined for any other file. */
export function readElf(file: number): ElfFile | undefined {
  const header = bytesAt(file, 0, 64);
  if (header.length < 20 || header.readUInt32BE(0) !== magic) return undefined;
  // Big-endian: no kernel that this agent runs on executes such a file.
  if (header[5] === 2) return { machine: header.readUInt16BE(18), loader: undefined };
  return { machine: header.readUInt16LE(18), loader: loaderOf(file, header) };
}

function loaderOf(file: number, header: Buffer): string | undefined {
  const layout = layouts[header[4] ?? 0];
  if (layout === undefined || header.length < layout.header) return undefined;
  const { entry } = layout;
  const offsetAt = (bytes: Buffer, at: number): number =>
    layout.hasLongOffsets ? Number(bytes.readBigUInt64LE(at)) : bytes.readUInt32LE(at);
  const size = header.readUInt16LE(layout.entryCount) * entry.size;
  if (header.readUInt16LE(layout.entrySize) !== entry.size || size > mostHeaderBytes) return undefined;
  const table = bytesAt(file, offsetAt(header, layout.tableOffset), size);
  for (let at = 0; at + entry.size <= table.length; at += entry.size) {
    if (table.readUInt32LE(at) !== loaderSegment) continue;
    const length = offsetAt(table, at + entry.length);
    if (length < 2 || length > longestName) return undefined;
    const name = bytesAt(file, offsetAt(table, at + entry.offset), length);
    const end = name.indexOf(0);
    return end < 1 ? undefined : name.subarray(0, end).toString();
  }
  return undefined;
}

function bytesAt(file: number, position: number, length: number): Buffer {
  if (!Number.isSafeInteger(position)) return Buffer.alloc(0);
  const bytes = Buffer.alloc(length);
  return bytes.subarray(0, readSync(file, bytes, 0, length, position));
}
