/** The parts of 64-bit ELF files that decide what a program needs of its system (elf(5)). */

const loaded = 1;
const dynamic = 2;
const interpreter = 3;
/** Entries of the dynamic section. */
const needed = 1n;
const stringTable = 5n;

interface Segment {
  readonly type: number;
  readonly offset: number;
  readonly address: number;
  readonly length: number;
}

export interface Linkage {
  /** The path of the loader; undefined for libraries, and for what is linked statically. */
  readonly loader: string | undefined;
  /** The names of shared libraries. */
  readonly libraries: readonly string[];
}

export function isElf(file: Buffer): boolean {
  return file.length >= 64 && file.readUInt32BE(0) === 0x7f454c46 && file[4] === 2;
}

/** What the loader loads beside a program or library. */
export function linkageOf(file: Buffer): Linkage {
  const segments = segmentsOf(file);
  const bytes = (type: number): Buffer | undefined => {
    const segment = segments.find((each) => each.type === type);
    return segment && file.subarray(segment.offset, segment.offset + segment.length);
  };
  const text = (at: number): string => file.toString("utf8", at, file.indexOf(0, at));
  const loader = bytes(interpreter);
  const entries = bytes(dynamic) ?? Buffer.alloc(0);
  const pairs = Array.from(
    { length: Math.floor(entries.length / 16) },
    (_, index) => [entries.readBigUInt64LE(index * 16), Number(entries.readBigUInt64LE(index * 16 + 8))] as const,
  );
  const strings = pairs.find(([tag]) => tag === stringTable)?.[1];
  const home = segments.find(
    ({ type, address, length }) =>
      type === loaded && strings !== undefined && strings >= address && strings < address + length,
  );
  const start = home === undefined || strings === undefined ? 0 : strings - home.address + home.offset;
  return {
    loader: loader?.toString("utf8", 0, loader.indexOf(0)),
    libraries: pairs.filter(([tag]) => tag === needed).map(([, at]) => text(start + at)),
  };
}

/**
 * A program without what no one loads: symbols and debugging information, a fifth of Node. They come after everything
 * that is loaded, so the file is cut there, and its table of sections is no more.
 */
export function withoutUnloadedSections(file: Buffer): Buffer {
  const end = Math.max(...segmentsOf(file).map(({ offset, length }) => offset + length));
  const cut = Buffer.from(file.subarray(0, end));
  cut.writeBigUInt64LE(0n, 0x28);
  for (const field of [0x3a, 0x3c, 0x3e]) cut.writeUInt16LE(0, field);
  return cut;
}

function segmentsOf(file: Buffer): readonly Segment[] {
  const table = Number(file.readBigUInt64LE(0x20));
  const [size, count] = [file.readUInt16LE(0x36), file.readUInt16LE(0x38)];
  return Array.from({ length: count }, (_, index) => {
    const at = table + index * size;
    const [offset, address, length] = [8, 16, 32].map((field) => Number(file.readBigUInt64LE(at + field)));
    return { type: file.readUInt32LE(at), offset, address, length } as Segment;
  });
}
