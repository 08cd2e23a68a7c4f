/** Layers of Windows containers. */
import { createHash } from "node:crypto";
import { closeSync, fstatSync, ftruncateSync, mkdirSync, openSync, readSync, realpathSync, writeSync } from "node:fs";
import { join } from "node:path";
import { HcsFailure } from "../hcs-failure.ts";
import { realPath } from "../system/disk-file.ts";

const scratchDisk = "sandbox.vhdx";
/** The size that Windows gives to scratch disks unless it is told another. The file is sparse. */
const scratchBytes = 20 * 2 ** 30;

const footerBytes = 512;
const cookie = "conectix";
const checksumOffset = 64;
const uniqueIdOffset = 68;

/** The same GUID for the same name, as Windows gives, though not the same as there: how it computes them is not public. */
export function layerIdOf(name: string): string {
  const hex = createHash("sha256").update(`layer ${name}`).digest("hex");
  return hex.replace(/^(.{8})(.{4}).(.{3}).(.{3})(.{12}).*$/, "$1-$2-5$3-8$4-$5");
}

/** An empty disk, which the guest formats: parents are only checked, since the guest combines layers. */
export function createScratchLayer(path: string, parents: readonly string[]): void {
  if (!path.startsWith("/")) throw new HcsFailure("E_INVALIDARG", `path: expected an absolute path, got ${path}`);
  if (parents.length === 0) throw new HcsFailure("E_INVALIDARG", "parents: expected at least one layer");
  for (const [index, parent] of parents.entries()) {
    try {
      realpathSync(parent);
    } catch (cause) {
      throw new HcsFailure("ERROR_PATH_NOT_FOUND", `parents[${index}]: ${parent} does not exist`, { cause });
    }
  }
  mkdirSync(path, { recursive: true });
  const disk = join(path, scratchDisk);
  const file = openNew(disk);
  try {
    ftruncateSync(file, scratchBytes);
  } finally {
    closeSync(file);
  }
}

function openNew(path: string): number {
  try {
    return openSync(path, "wx", 0o600);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== "EEXIST") throw cause;
    throw new HcsFailure("ERROR_FILE_EXISTS", `path: ${path} exists already`, { cause });
  }
}

/** Writes the id into the footer of a fixed VHD. A raw image is a disk here too, and has no place for one. */
export function setDiskIdentifier(path: string, identifier: string): void {
  const file = openSync(realPath(path, "path"), "r+");
  try {
    const position = fstatSync(file).size - footerBytes;
    const footer = Buffer.alloc(footerBytes);
    if (position < 0 || readSync(file, footer, 0, footerBytes, position) < footerBytes) return;
    if (footer.toString("latin1", 0, cookie.length) !== cookie) return;
    Buffer.from(identifier.replaceAll("-", ""), "hex").copy(footer, uniqueIdOffset);
    footer.writeUInt32BE(0, checksumOffset);
    const sum = footer.reduce((total, byte) => total + byte, 0);
    footer.writeUInt32BE(~sum >>> 0, checksumOffset);
    writeSync(file, footer, 0, footerBytes, position);
  } finally {
    closeSync(file);
  }
}
