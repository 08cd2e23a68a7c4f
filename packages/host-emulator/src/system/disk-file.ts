import { closeSync, fstatSync, openSync, readSync, realpathSync } from "node:fs";
import type { ScsiAttachment } from "@uvm-shim/hcs-schema";
import { HcsFailure } from "../hcs-failure.ts";

/** A virtual disk that can be attached. */
export interface DiskFile {
  readonly path: string;
  readonly readOnly: boolean;
  /** Bytes of the disk within the file; by default all. */
  readonly sizeLimit?: number;
  /** Its content is in blocks that a table tells, which only virtual machines can have read for them. */
  readonly isVhdx?: true;
  /** Identity of the file, independent of its path. */
  readonly identity: string;
}

const footerBytes = 512;
const fixedDisk = 2;

/**
 * Inspects the file of an attachment. Supports raw images, fixed VHDs (raw content and a footer; Microsoft's Virtual
 * Hard Disk Image Format Specification 1.0), and VHDX for guests that can have one. Other formats are ERROR_NOT_SUPPORTED.
 */
export function openDiskFile(attachment: ScsiAttachment, field: string): DiskFile {
  const { Type: type, Path: path, ReadOnly: readOnly = false } = attachment;
  if (type === "ExtensibleVirtualDisk") {
    throw new HcsFailure(
      "ERROR_NOT_SUPPORTED",
      `${field}.Type: unsupported type ${type}: expected VirtualDisk or PassThru`,
    );
  }
  const real = realPath(path, `${field}.Path`);
  const file = openSync(real, "r");
  try {
    const stat = fstatSync(file);
    // A device may have several nodes.
    const identity = stat.isBlockDevice() ? `device ${stat.rdev}` : `${stat.dev}:${stat.ino}`;
    if (type === "PassThru" || stat.isBlockDevice()) {
      if (stat.isBlockDevice()) return { path: real, readOnly, identity };
      throw new HcsFailure("E_INVALIDARG", `${field}.Path: ${path} is not a block device: PassThru requires one`);
    }
    if (!stat.isFile()) throw new HcsFailure("E_INVALIDARG", `${field}.Path: ${path} is not a file`);
    if (readAt(file, 0, 8).equals(Buffer.from("vhdxfile"))) return { path: real, readOnly, identity, isVhdx: true };
    const footer = readAt(file, Math.max(0, stat.size - footerBytes), footerBytes);
    if (footer.length < footerBytes || footer.toString("latin1", 0, 8) !== "conectix") {
      return { path: real, readOnly, identity };
    }
    const diskType = footer.readUInt32BE(60);
    if (diskType !== fixedDisk) {
      const kind = diskType === 3 ? "dynamic" : diskType === 4 ? "differencing" : `type ${diskType}`;
      throw new HcsFailure(
        "ERROR_NOT_SUPPORTED",
        `${field}.Path: ${path} is a ${kind} VHD: expected a raw image or a fixed VHD`,
      );
    }
    return { path: real, readOnly, identity, sizeLimit: stat.size - footerBytes };
  } finally {
    closeSync(file);
  }
}

/** The answer to a VHDX that a guest cannot have. `field` names it. */
export function vhdxFailure({ path }: DiskFile, field: string): HcsFailure {
  return new HcsFailure("ERROR_NOT_SUPPORTED", `${field}: ${path} is a VHDX: expected a raw image or a fixed VHD`);
}

/** The path without symbolic links. ERROR_FILE_NOT_FOUND with the field if it does not exist. */
export function realPath(path: string, field: string): string {
  if (!path.startsWith("/")) {
    throw new HcsFailure("E_INVALIDARG", `${field}: expected an absolute path, got ${JSON.stringify(path)}`);
  }
  try {
    return realpathSync(path);
  } catch (cause) {
    throw new HcsFailure("ERROR_FILE_NOT_FOUND", `${field}: ${path} does not exist or cannot be reached`, { cause });
  }
}

function readAt(file: number, position: number, length: number): Buffer {
  const buffer = Buffer.alloc(length);
  return buffer.subarray(0, readSync(file, buffer, 0, length, position));
}

/** Claims on disks. As on Windows, a disk has many readers or one writer. */
export class DiskClaims {
  readonly #claims = new Map<string, { readers: number; writers: number }>();

  /** Returns an idempotent function that releases the claim. Throws ERROR_SHARING_VIOLATION. */
  claim(disk: DiskFile): () => void {
    const claim = this.#claims.get(disk.identity) ?? { readers: 0, writers: 0 };
    if (claim.writers > 0 || (!disk.readOnly && claim.readers > 0)) {
      const use = claim.writers > 0 ? "written" : "read";
      throw new HcsFailure("ERROR_SHARING_VIOLATION", `${disk.path} is being ${use} through another attachment`);
    }
    const role = disk.readOnly ? "readers" : "writers";
    claim[role]++;
    this.#claims.set(disk.identity, claim);
    let held = true;
    return () => {
      if (!held) return;
      held = false;
      claim[role]--;
      if (claim.readers + claim.writers === 0) this.#claims.delete(disk.identity);
    };
  }
}
