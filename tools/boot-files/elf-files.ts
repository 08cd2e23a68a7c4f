/** Small files of the ELF form, for tests: what they say of themselves is read, and nothing in them runs. */

const headerSize = 64;
const segmentSize = 56;
const sectionSize = 64;
/** Where it is loaded; any address but that in the file. */
const base = 0x10000;

export interface ElfParts {
  readonly loader?: string;
  readonly libraries?: readonly string[];
  /** The texts of a module's section .modinfo. */
  readonly information?: readonly string[];
}

/** A program with a loader, a library, or a module. */
export function elfFile({ loader, libraries = [], information }: ElfParts): Buffer {
  const count = loader === undefined ? 2 : 3;
  const interpreter = Buffer.from(loader === undefined ? "" : `${loader}\0`);
  const strings = Buffer.from(["", ...libraries, ""].join("\0"));
  const atInterpreter = headerSize + count * segmentSize;
  const atStrings = atInterpreter + interpreter.length;
  const atDynamic = atStrings + strings.length;
  let nextName = 1;
  const needed = libraries.map((name): readonly [number, number] => {
    const at = nextName;
    nextName += name.length + 1;
    return [1, at];
  });
  const dynamic = Buffer.concat(
    [...needed, [5, base + atStrings] as const, [0, 0] as const].map(([tag, value]) => words(tag, value)),
  );
  const end = atDynamic + dynamic.length;
  const segments = [
    segment(1, 0, end),
    segment(2, atDynamic, dynamic.length),
    ...(loader === undefined ? [] : [segment(3, atInterpreter, interpreter.length)]),
  ];
  const loaded = Buffer.concat([Buffer.alloc(headerSize), ...segments, interpreter, strings, dynamic]);
  const texts = Buffer.from((information ?? []).map((text) => `${text}\0`).join(""));
  const names = Buffer.from("\0.modinfo\0.shstrtab\0");
  const sections = [
    Buffer.alloc(sectionSize),
    section(1, end, texts.length),
    section(10, end + texts.length, names.length),
  ];
  writeHeader(loaded, end + texts.length + names.length, { segments: count, sections: sections.length });
  return Buffer.concat([loaded, texts, names, ...sections]);
}

function writeHeader(
  file: Buffer,
  table: number,
  counts: { readonly segments: number; readonly sections: number },
): void {
  file.write("\x7fELF\x02\x01\x01", "latin1");
  file.writeBigUInt64LE(BigInt(headerSize), 0x20);
  file.writeBigUInt64LE(BigInt(table), 0x28);
  const sizes = [headerSize, segmentSize, counts.segments, sectionSize, counts.sections, counts.sections - 1];
  for (const [index, size] of sizes.entries()) file.writeUInt16LE(size, 0x34 + 2 * index);
}

function segment(type: number, offset: number, length: number): Buffer {
  const head = Buffer.alloc(8);
  head.writeUInt32LE(type);
  return Buffer.concat([head, words(offset, base + offset, base + offset, length, length, 1)]);
}

function section(name: number, offset: number, length: number): Buffer {
  const head = Buffer.alloc(8);
  head.writeUInt32LE(name);
  head.writeUInt32LE(1, 4);
  return Buffer.concat([head, words(0, 0, offset, length, 0, 1, 0)]);
}

function words(...values: readonly number[]): Buffer {
  return Buffer.concat(
    values.map((value) => {
      const word = Buffer.alloc(8);
      word.writeBigUInt64LE(BigInt(value));
      return word;
    }),
  );
}
