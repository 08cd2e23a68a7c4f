import { closeSync, openSync, readSync } from "node:fs";
import { GuestFault } from "@uvm-shim/gcs-bridge";

const ext4Offset = 1024;
const ext4Magic = 0xef53;
const block = 4096;
/** Blocks of ext4 are 2^(10 + exponent) bytes long, 64 KiB at most (fs/ext4/ext4.h, EXT4_MAX_BLOCK_LOG_SIZE). */
const largestBlockExponent = 6;
const signature = "verity\0\0";
const versionOffset = 8;
const algorithmOffset = 32;
const algorithmLength = 32;
const dataBlockOffset = 64;
const hashBlockOffset = 68;

/** Hashes of the blocks of a file system, behind it on its disk. */
export interface HashTree {
  readonly rootDigest: string;
  /** Hexadecimal digits. */
  readonly salt: string;
  readonly algorithm: string;
  /** Of the super block's form. */
  readonly version: number;
  /** Bytes of the file system, after which the super block is. */
  readonly size: number;
  /** Bytes of each block that has a hash, and of each block of hashes. */
  readonly dataBlock: number;
  readonly hashBlock: number;
}

/**
 * The hash tree behind an ext4 file system, in microsoft/hcsshim's layout of layers (ext4/dmverity). Throws a GuestFault if
 * there is none. The blocks are not checked against it.
 */
export function readHashTree(device: string): HashTree {
  const descriptor = openSync(device, "r");
  try {
    const read = (length: number, position: number): Buffer => {
      const bytes = Buffer.alloc(length);
      if (readSync(descriptor, bytes, 0, length, position) === length) return bytes;
      throw new GuestFault("E_FAIL", `disk ${device} ends before byte ${position + length}: expected a hash tree`);
    };
    const ext4 = read(block, ext4Offset);
    if (ext4.readUInt16LE(0x38) !== ext4Magic) {
      throw new GuestFault("E_FAIL", `disk ${device} has no ext4 file system: expected one on a read-only disk`);
    }
    const exponent = ext4.readUInt32LE(0x18);
    if (exponent > largestBlockExponent) {
      const found = `disk ${device} has an ext4 file system with blocks of 2^${10 + exponent} bytes`;
      throw new GuestFault("E_FAIL", `${found}: expected at most 2^${10 + largestBlockExponent}`);
    }
    const end = ext4.readUInt32LE(0x04) * (1024 << exponent);
    const tree = read(block, end);
    if (tree.toString("latin1", 0, signature.length) !== signature) {
      throw new GuestFault(
        "E_FAIL",
        `disk ${device} has no dm-verity super block at byte ${end}, after its file system`,
      );
    }
    const algorithm = tree.toString("latin1", algorithmOffset, algorithmOffset + algorithmLength).replace(/\0.*$/s, "");
    if (!/^[a-z0-9-]+$/.test(algorithm)) {
      throw new GuestFault("E_FAIL", `disk ${device} has a hash tree without the name of an algorithm`);
    }
    const salt = tree.subarray(88, 88 + Math.min(tree.readUInt16LE(80), 256));
    // Loaded here, since it takes a tenth of the agent's start, and most guests have no such layers.
    const { createHash } = process.getBuiltinModule("node:crypto");
    const rootDigest = createHash("sha256")
      .update(salt)
      .update(read(block, end + block))
      .digest("hex");
    const [version, dataBlock, hashBlock] = [versionOffset, dataBlockOffset, hashBlockOffset].map((at) =>
      tree.readUInt32LE(at),
    ) as [number, number, number];
    return { rootDigest, salt: salt.toString("hex"), algorithm, version, size: end, dataBlock, hashBlock };
  } finally {
    closeSync(descriptor);
  }
}
