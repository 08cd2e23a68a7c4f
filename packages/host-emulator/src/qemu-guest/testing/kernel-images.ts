/** Files in the form of kernels, without anything to run. */

/** What may be unusual about a kernel. */
export interface FileParts {
  readonly machine?: number;
  readonly noteType?: number;
}

/** An ELF file with the note of an entry for virtual machines. */
export function kernelFile({ machine = 62, noteType = 18 }: FileParts = {}): Buffer {
  const file = Buffer.alloc(4096);
  file.write("7f454c460201", "hex");
  file.writeUInt16LE(machine, 0x12);
  file.writeBigUInt64LE(0x40n, 0x20);
  file.writeUInt16LE(0x38, 0x36);
  file.writeUInt16LE(2, 0x38);
  file.writeUInt32LE(1, 0x40);
  const notes = Buffer.concat([note("GNU\0", 3, 20), note("Xen\0", noteType, 8)]);
  file.writeUInt32LE(4, 0x78);
  file.writeBigUInt64LE(0x200n, 0x78 + 0x08);
  file.writeBigUInt64LE(BigInt(notes.length), 0x78 + 0x20);
  notes.copy(file, 0x200);
  return file;
}

function note(owner: string, type: number, bytes: number): Buffer {
  const header = Buffer.alloc(12);
  for (const [index, word] of [owner.length, bytes, type].entries()) header.writeUInt32LE(word, 4 * index);
  return Buffer.concat([header, Buffer.from(owner), Buffer.alloc(bytes)]);
}

/** What an image is made from. */
export interface KernelParts {
  readonly packed?: Buffer;
  /** Of what is packed. */
  readonly size?: number;
  /** Not behind a format that has it in itself. */
  readonly hasSizeBehind?: boolean;
  readonly setupSectors?: number;
  readonly version?: number;
}

/** A bootable image for PCs, by its header. Without a payload it is one of an early kernel. */
export function kernelImage(parts: KernelParts = {}): Buffer {
  const { packed, size = kernelFile().length, hasSizeBehind = true, setupSectors = 4, version = 0x20f } = parts;
  const offset = 64;
  const head = Buffer.alloc(((setupSectors || 4) + 1) * 512 + offset);
  head[0x1f1] = setupSectors;
  head.writeUInt16LE(0xaa55, 0x1fe);
  head.write("HdrS", 0x202);
  if (packed === undefined) return head;
  const behind = Buffer.alloc(hasSizeBehind ? 4 : 0);
  if (hasSizeBehind) behind.writeUInt32LE(size);
  head.writeUInt16LE(version, 0x206);
  head.writeUInt32LE(offset, 0x248);
  head.writeUInt32LE(packed.length + behind.length, 0x24c);
  return Buffer.concat([head, packed, behind]);
}
