/** Disks with the hash tree of dm-verity that guests with a policy require. */
import { createHash, randomBytes } from "node:crypto";
import { appendFileSync, readFileSync } from "node:fs";

const block = 4096;
const salt = Buffer.alloc(32, 0x5a);

/** Appends super block and tree to a file system, whose size must be a multiple of 4096; returns the root digest. */
export function appendHashTree(file: string): string {
  const data = readFileSync(file);
  const levels = [hashesOf(data)];
  for (let top = levels[0] as Buffer; top.length > block; top = levels[0] as Buffer) levels.unshift(hashesOf(top));
  appendFileSync(file, Buffer.concat([superBlock(data.length), ...levels]));
  return hashOf((levels[0] as Buffer).subarray(0, block)).toString("hex");
}

function superBlock(size: number): Buffer {
  const bytes = Buffer.alloc(block);
  bytes.write("verity\0\0", "latin1");
  bytes.writeUInt32LE(1, 8);
  bytes.writeUInt32LE(1, 12);
  randomBytes(16).copy(bytes, 16);
  bytes.write("sha256", 32, "latin1");
  bytes.writeUInt32LE(block, 64);
  bytes.writeUInt32LE(block, 68);
  bytes.writeBigUInt64LE(BigInt(size / block), 72);
  bytes.writeUInt16LE(salt.length, 80);
  salt.copy(bytes, 88);
  return bytes;
}

function hashesOf(data: Buffer): Buffer {
  const hashes: Buffer[] = [];
  for (let at = 0; at < data.length; at += block) hashes.push(hashOf(data.subarray(at, at + block)));
  const level = Buffer.concat(hashes);
  return Buffer.concat([level, Buffer.alloc((block - (level.length % block)) % block)]);
}

function hashOf(bytes: Buffer): Buffer {
  return createHash("sha256").update(salt).update(bytes).digest();
}
