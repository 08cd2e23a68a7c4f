import { closeSync, openSync, readSync } from "node:fs";

/** An entry of a partition table. */
export interface Partition {
  /** Number from 1; logical partitions of an MBR start at 5. */
  readonly number: number;
  /** Offset in bytes from the start of the disk. */
  readonly offset: number;
  readonly size: number;
}

/** Reads up to `length` bytes of a disk from a position. */
export type ReadDisk = (position: number, length: number) => Buffer;

const sectorBytes = 512;
/** Default number of entries of a GUID partition table. */
const highestNumber = 128;
const entriesAt = 446;
const entryBytes = 16;
const protectiveType = 0xee;
const extendedTypes: ReadonlySet<number> = new Set([0x05, 0x0f, 0x85]);

/** Partitions of a disk file; empty without a partition table. */
export function readPartitions(path: string, size: number): readonly Partition[] {
  const file = openSync(path, "r");
  try {
    return parsePartitions((position, length) => {
      const buffer = Buffer.alloc(length);
      return buffer.subarray(0, readSync(file, buffer, 0, length, position));
    }, size);
  } finally {
    closeSync(file);
  }
}

/**
 * The partitions of a master boot record or a GUID partition table, with sectors of 512 bytes (UEFI Specification 2.10,
 * 5.2 and 5.3). Partitions beyond the end of the disk are omitted.
 */
export function parsePartitions(read: ReadDisk, size: number): readonly Partition[] {
  const records = bootRecords(read(0, sectorBytes));
  if (records === undefined) return [];
  const partitions = records.some(({ type }) => type === protectiveType)
    ? guidPartitions(read)
    : [...primaryPartitions(records), ...logicalPartitions(read, records)];
  return partitions.filter(
    ({ number, offset, size: length }) =>
      number <= highestNumber && offset >= sectorBytes && length > 0 && offset + length <= size,
  );
}

interface BootRecord {
  readonly type: number;
  readonly start: number;
  readonly sectors: number;
}

/** The four entries of a boot record. In a boot sector without a table, their flags are invalid. */
function bootRecords(sector: Buffer): readonly BootRecord[] | undefined {
  if (sector.length < sectorBytes || sector.readUInt16LE(510) !== 0xaa55) return undefined;
  const at = [0, 1, 2, 3].map((index) => entriesAt + index * entryBytes);
  if (at.some((offset) => ((sector[offset] ?? 0) & 0x7f) !== 0)) return undefined;
  return at.map((offset) => ({
    type: sector[offset + 4] ?? 0,
    start: sector.readUInt32LE(offset + 8),
    sectors: sector.readUInt32LE(offset + 12),
  }));
}

function primaryPartitions(records: readonly BootRecord[]): readonly Partition[] {
  return records.flatMap(({ type, start, sectors }, index) =>
    type === 0 || extendedTypes.has(type) ? [] : [partition(index + 1, start, sectors)],
  );
}

/** A chain of boot records in the extended partition: each has one logical partition and points to the next record. */
function logicalPartitions(read: ReadDisk, records: readonly BootRecord[]): readonly Partition[] {
  const extended = records.find(({ type }) => extendedTypes.has(type));
  if (extended === undefined) return [];
  const found: Partition[] = [];
  // Iterating a set visits added elements, and none twice.
  const chain = new Set([extended.start]);
  for (const record of chain) {
    const [logical, next] = bootRecords(read(record * sectorBytes, sectorBytes)) ?? [];
    if (logical === undefined || logical.type === 0 || found.length === highestNumber) break;
    found.push(partition(5 + found.length, record + logical.start, logical.sectors));
    if (next !== undefined && extendedTypes.has(next.type)) chain.add(extended.start + next.start);
  }
  return found;
}

function guidPartitions(read: ReadDisk): readonly Partition[] {
  const header = read(sectorBytes, sectorBytes);
  if (header.length < sectorBytes || header.toString("latin1", 0, 8) !== "EFI PART") return [];
  const first = Number(header.readBigUInt64LE(72)) * sectorBytes;
  const count = Math.min(header.readUInt32LE(80), highestNumber);
  const length = header.readUInt32LE(84);
  if (length < 128 || length > 4096 || !Number.isSafeInteger(first)) return [];
  const entries = read(first, count * length);
  const found: Partition[] = [];
  for (let index = 0; (index + 1) * length <= entries.length; index++) {
    const entry = entries.subarray(index * length);
    if (entry.subarray(0, 16).every((byte) => byte === 0)) continue;
    const [start, end] = [Number(entry.readBigUInt64LE(32)), Number(entry.readBigUInt64LE(40))];
    found.push(partition(index + 1, start, end - start + 1));
  }
  return found;
}

function partition(number: number, start: number, sectors: number): Partition {
  return { number, offset: start * sectorBytes, size: sectors * sectorBytes };
}
