import { randomUUID } from "node:crypto";
import { appendFileSync, readdirSync, readFileSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { mustRun } from "./command.ts";

const MEBIBYTE = 1024 * 1024;
const SECTOR = 512;

/** Makes a file with an ext4 file system, filled from a directory if one is given. */
export async function makeExt4(path: string, mebibytes: number, contents?: string): Promise<void> {
  writeFileSync(path, "");
  truncateSync(path, mebibytes * MEBIBYTE);
  // Those of dm-verity are as large, and no smaller ones can be read through it.
  const filled = contents === undefined ? [] : ["-b", "4096", "-d", contents];
  await mustRun("mkfs.ext4", ["-q", "-F", ...filled, path]);
}

/** Turns a raw disk image into a fixed VHD by appending the footer. */
export function appendVhdFooter(path: string, id: string = randomUUID()): void {
  appendFileSync(path, vhdFooter(statSync(path).size, id));
}

/**
 * The footer of a fixed VHD.
 *
 * @param size of the disk in bytes.
 * Source: Microsoft, "Virtual Hard Disk Image Format Specification", Hard Disk Footer Format.
 */
export function vhdFooter(size: number, id: string): Buffer {
  const footer = Buffer.alloc(SECTOR);
  footer.write("conectix", 0, "latin1");
  footer.writeUInt32BE(2, 8);
  footer.writeUInt32BE(0x00010000, 12);
  footer.writeBigUInt64BE(0xffffffffffffffffn, 16);
  footer.write("uvms", 28, "latin1");
  footer.writeUInt32BE(0x00010000, 32);
  footer.write("Wi2k", 36, "latin1");
  footer.writeBigUInt64BE(BigInt(size), 40);
  footer.writeBigUInt64BE(BigInt(size), 48);
  const { cylinders, heads, sectors } = geometry(Math.floor(size / SECTOR));
  footer.writeUInt16BE(cylinders, 56);
  footer.writeUInt8(heads, 58);
  footer.writeUInt8(sectors, 59);
  footer.writeUInt32BE(2, 60);
  Buffer.from(id.replaceAll("-", ""), "hex").copy(footer, 68);
  const sum = footer.reduce((total, byte) => total + byte, 0);
  footer.writeUInt32BE(~sum >>> 0, 64);
  return footer;
}

/** Runs the work with a block device of the host. */
export async function withBlockDevice(file: string, work: (device: string) => Promise<void>): Promise<void> {
  const device = (await mustRun("losetup", ["--find", "--show", file])).trim();
  try {
    await work(device);
  } finally {
    await mustRun("losetup", ["--detach", device]);
  }
}

/** The files below a directory that are attached to VMs, once for each attachment. */
export function attachedBelow(directory: string): string[] {
  const loops = readdirSync("/sys/block").filter((name) => name.startsWith("loop"));
  const files = loops.flatMap((name) => {
    try {
      return [readFileSync(`/sys/block/${name}/loop/backing_file`, "utf8").trim()];
    } catch {
      // It is not in use.
      return [];
    }
  });
  return files.filter((file) => file.startsWith(`${directory}/`)).sort();
}

/** Cylinders, heads and sectors per track as the specification's appendix computes them. */
function geometry(total: number): { cylinders: number; heads: number; sectors: number } {
  const capped = Math.min(total, 65535 * 16 * 255);
  if (capped >= 65535 * 16 * 63) return { cylinders: Math.floor(capped / 255 / 16), heads: 16, sectors: 255 };
  let sectors = 17;
  let tracks = Math.floor(capped / sectors);
  let heads = Math.max(4, Math.floor((tracks + 1023) / 1024));
  if (tracks >= heads * 1024 || heads > 16) {
    sectors = 31;
    heads = 16;
    tracks = Math.floor(capped / sectors);
  }
  if (tracks >= heads * 1024) {
    sectors = 63;
    heads = 16;
    tracks = Math.floor(capped / sectors);
  }
  return { cylinders: Math.floor(tracks / heads), heads, sectors };
}
