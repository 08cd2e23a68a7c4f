import { promisify } from "node:util";
import { gunzip, zstdDecompress } from "node:zlib";
import { HcsFailure } from "../../hcs-failure.ts";

/** Fields of the header of a kernel image for x86 (Documentation/arch/x86/boot.rst of Linux). */
const fields = { setupSectors: 0x1f1, version: 0x206, payloadOffset: 0x248, payloadLength: 0x24c } as const;
const headerEnd = 0x250;
const sectorBytes = 512;
/** The first with a payload that others can find. */
const versionWithPayload = 0x208;
/** For old boot loaders: what a zero stands for. */
const defaultSetupSectors = 4;
const sizeBytes = 4;
/** Much more than any kernel has. */
const mostBytes = 2 ** 29;

const magics = { xz: "fd377a585a00", gzip: "1f8b08", zstd: "28b52ffd" } as const;

/** Unpacks what `xz` has packed, with nothing behind it. */
export type XzUnpacking = (packed: Uint8Array, mostBytes: number) => Promise<Buffer>;

/**
 * The kernel in an image, as an ELF file that can be booted without the image's own code; undefined if it is none of that
 * kind, or packed in an unknown way. That code would unpack it with the guest's processor, which takes seconds where each
 * instruction is translated. Throws an error if the image is damaged.
 */
export async function unpackedKernel(image: Buffer, unpackXz: XzUnpacking): Promise<Buffer | undefined> {
  const payload = payloadOf(image);
  if (payload === undefined) return undefined;
  // Formats without the size in them have it behind them; that of gzip ends with it.
  const size = payload.readUInt32LE(payload.length - sizeBytes);
  if (size > mostBytes) throw damaged(`${size} bytes unpacked`);
  const kernel = await unpack(payload, size, unpackXz);
  if (kernel === undefined) return undefined;
  if (kernel.length !== size) throw damaged(`${kernel.length} bytes unpacked, and not ${size}`);
  return hasDirectEntry(kernel) ? kernel : undefined;
}

async function unpack(payload: Buffer, size: number, unpackXz: XzUnpacking): Promise<Buffer | undefined> {
  const packed = payload.subarray(0, -sizeBytes);
  const starts = (magic: string): boolean => payload.toString("hex", 0, magic.length / 2) === magic;
  const options = { maxOutputLength: Math.max(size, 1) };
  if (starts(magics.xz)) return await unpackXz(packed, size);
  if (starts(magics.zstd)) return await promisify(zstdDecompress)(packed, options);
  return starts(magics.gzip) ? await promisify(gunzip)(payload, options) : undefined;
}

function payloadOf(image: Buffer): Buffer | undefined {
  if (image.length < headerEnd || image.readUInt16LE(fields.version) < versionWithPayload) return undefined;
  const setupSectors = image[fields.setupSectors] || defaultSetupSectors;
  const start = (setupSectors + 1) * sectorBytes + image.readUInt32LE(fields.payloadOffset);
  const length = image.readUInt32LE(fields.payloadLength);
  if (length <= sizeBytes) return undefined;
  if (start + length > image.length) throw damaged(`a payload until byte ${start + length} of ${image.length}`);
  return image.subarray(start, start + length);
}

function damaged(what: string): HcsFailure {
  return new HcsFailure("E_INVALIDARG", `the kernel image is damaged: ${what}`);
}

const elf64 = "7f454c460201";
const x64 = 62;
const noteSegment = 4;
const header = { machine: 0x12, segments: 0x20, segmentBytes: 0x36, segmentCount: 0x38, end: 0x40 } as const;
const segment = { offset: 0x08, size: 0x20, end: 0x38 } as const;
const noteHeaderBytes = 12;
/** Of the 32-bit entry, at which QEMU starts a kernel without code of an image (PHYS32_ENTRY of Xen's notes). */
const entryNote = { owner: "Xen\0", type: 18 } as const;

/** Whether an ELF file says where a virtual machine starts it. */
export function hasDirectEntry(file: Buffer): boolean {
  if (file.length < header.end || file.toString("hex", 0, elf64.length / 2) !== elf64) return false;
  if (file.readUInt16LE(header.machine) !== x64) return false;
  const [bytes, count] = [file.readUInt16LE(header.segmentBytes), file.readUInt16LE(header.segmentCount)];
  const first = Number(file.readBigUInt64LE(header.segments));
  for (let at = first; at < first + bytes * count && at + segment.end <= file.length; at += Math.max(bytes, 1)) {
    if (file.readUInt32LE(at) !== noteSegment) continue;
    const start = Number(file.readBigUInt64LE(at + segment.offset));
    const size = Number(file.readBigUInt64LE(at + segment.size));
    if (hasEntryNote(file.subarray(start, start + size))) return true;
  }
  return false;
}

function hasEntryNote(notes: Buffer): boolean {
  for (let at = 0; at + noteHeaderBytes <= notes.length; ) {
    const [nameBytes, valueBytes, type] = [0, 4, 8].map((offset) => notes.readUInt32LE(at + offset));
    const name = at + noteHeaderBytes;
    const value = name + padded(nameBytes as number);
    if (type === entryNote.type && notes.toString("latin1", name, name + (nameBytes as number)) === entryNote.owner) {
      return true;
    }
    at = value + padded(valueBytes as number);
  }
  return false;
}

function padded(bytes: number): number {
  return Math.ceil(bytes / 4) * 4;
}
