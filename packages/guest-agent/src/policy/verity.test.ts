import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { GuestFault } from "@uvm-shim/gcs-bridge";
import { appendHashTree } from "@uvm-shim/test-support/hash-tree";
import { afterAll, describe, expect, it } from "vitest";
import { readHashTree } from "./verity.ts";

const folder = mkdtempSync(join(tmpdir(), "verity-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** A disk whose superblock claims the given number of blocks of 2^(10 + exponent) bytes. */
function disk(blocks: number, exponent: number): string {
  const bytes = Buffer.alloc(8 * 4096);
  bytes.writeUInt32LE(blocks, 1024 + 0x04);
  bytes.writeUInt32LE(exponent, 1024 + 0x18);
  bytes.writeUInt16LE(0xef53, 1024 + 0x38);
  const path = join(folder, "disk");
  writeFileSync(path, bytes);
  return path;
}

describe("the hash tree behind a file system", () => {
  it("is found at the end of the file system", () => {
    const path = disk(8, 2);
    const digest = appendHashTree(path);
    expect(readHashTree(path)).toEqual({
      rootDigest: digest,
      salt: "5a".repeat(32),
      algorithm: "sha256",
      version: 1,
      size: 8 * 4096,
      dataBlock: 4096,
      hashBlock: 4096,
    });
  });

  it("names its algorithm", () => {
    const path = disk(8, 2);
    appendHashTree(path);
    const bytes = readFileSync(path);
    // What follows would be another parameter of the device.
    bytes.write("sha256 0", 8 * 4096 + 32, "latin1");
    writeFileSync(path, bytes);
    expect(() => readHashTree(path)).toThrow("without the name of an algorithm");
  });

  // In 32 bits, 1024 << 21 is negative, 1024 << 22 is 0 and 1024 << 32 is 1024: all wrong.
  it.each([7, 21, 22, 32, 0xffffffff])("is not searched for behind blocks of 2^(10 + %d) bytes", (exponent) => {
    const read = () => readHashTree(disk(2, exponent));
    expect(read).toThrow(GuestFault);
    expect(read).toThrow(`blocks of 2^${10 + exponent} bytes: expected at most 2^16`);
  });

  it("is missing behind the largest file system, and at the end of the disk", () => {
    expect(() => readHashTree(disk(0xffffffff, 6))).toThrow("expected a hash tree");
    const path = disk(8, 2);
    truncateSync(path, 4096);
    expect(() => readHashTree(path)).toThrow("expected a hash tree");
  });
});
