import { closeSync, openSync, statSync } from "node:fs";
import koffi from "koffi";
import { LinuxCallError } from "./error.ts";
import { invoke } from "./libc.ts";
import { emptyOf, loopConfiguration } from "./structures.ts";

const S_IFBLK = 0o060000;
const S_IFCHR = 0o020000;

const LOOP_CTL_GET_FREE = 0x4c82;
const LOOP_CONFIGURE = 0x4c0a;
const LO_FLAGS_READ_ONLY = 1;
const LO_FLAGS_AUTOCLEAR = 4;
const attachAttempts = 64;

function makeNode(path: string, type: number, major: number, minor: number, mode: number): void {
  const device =
    ((BigInt(major) & 0xfffff000n) << 32n) |
    ((BigInt(major) & 0xfffn) << 8n) |
    ((BigInt(minor) & 0xffffff00n) << 12n) |
    (BigInt(minor) & 0xffn);
  invoke("mknod", `${path} ${major}:${minor}`, path, type | mode, device);
}

/** `mode` is subject to the umask. */
export function makeBlockNode(path: string, major: number, minor: number, mode: number): void {
  makeNode(path, S_IFBLK, major, minor, mode);
}

/** `mode` is subject to the umask. */
export function makeCharNode(path: string, major: number, minor: number, mode: number): void {
  makeNode(path, S_IFCHR, major, minor, mode);
}

/** What a loop device shows; offset and size in bytes. */
export interface LoopRequest {
  /** The file or block device behind the loop device. */
  readonly path: string;
  readonly readOnly: boolean;
  /** First byte of the file that belongs to the device; 0 if absent. */
  readonly offset?: number;
  /** Bytes of the file that belong to the device; up to its end if absent. */
  readonly sizeLimit?: number;
}

/** A loop device of this machine, and a reference that keeps it. */
export interface LoopDevice {
  /** Path of the device node on this machine. */
  readonly device: string;
  readonly major: number;
  readonly minor: number;
  /** Closes this reference; the kernel detaches the device with its last user, such as a mount. Repeatable. */
  close(): void;
}

/** Attaches a file to a free loop device, which the kernel detaches with its last user. */
export function attachLoop(request: LoopRequest): LoopDevice {
  const file = openSync(request.path, request.readOnly ? "r" : "r+");
  try {
    const control = openSync("/dev/loop-control", "r+");
    try {
      for (let attempt = 1; ; attempt++) {
        const device = `/dev/loop${invoke("ioctl", "LOOP_CTL_GET_FREE", control, LOOP_CTL_GET_FREE, null)}`;
        const attached = configure(device, file, request);
        if (attached !== undefined) return attached;
        if (attempt === attachAttempts)
          throw new LinuxCallError("ioctl", `LOOP_CONFIGURE ${device}`, koffi.os.errno.EBUSY ?? 16);
      }
    } finally {
      closeSync(control);
    }
  } finally {
    closeSync(file);
  }
}

/** Undefined if another process took the free device first. */
function configure(device: string, file: number, request: LoopRequest): LoopDevice | undefined {
  const name = Buffer.alloc(64);
  Buffer.from(request.path).copy(name, 0, 0, 63);
  const configuration = emptyOf(loopConfiguration);
  koffi.encode(configuration, loopConfiguration, {
    fd: file,
    block_size: 0,
    info: {
      lo_device: 0,
      lo_inode: 0,
      lo_rdevice: 0,
      lo_offset: request.offset ?? 0,
      lo_sizelimit: request.sizeLimit ?? 0,
      lo_number: 0,
      lo_encrypt_type: 0,
      lo_encrypt_key_size: 0,
      lo_flags: LO_FLAGS_AUTOCLEAR | (request.readOnly ? LO_FLAGS_READ_ONLY : 0),
      lo_file_name: name,
      lo_crypt_name: Buffer.alloc(64),
      lo_encrypt_key: Buffer.alloc(32),
      lo_init: [0, 0],
    },
    reserved: [0, 0, 0, 0, 0, 0, 0, 0],
  });
  let descriptor: number | undefined = openSync(device, request.readOnly ? "r" : "r+");
  try {
    invoke("ioctl", `LOOP_CONFIGURE ${device} for ${request.path}`, descriptor, LOOP_CONFIGURE, configuration);
  } catch (error) {
    closeSync(descriptor);
    if (error instanceof LinuxCallError && error.code === "EBUSY") return undefined;
    throw error;
  }
  const { rdev } = statSync(device);
  return {
    device,
    major: (rdev >> 8) & 0xfff,
    minor: (rdev & 0xff) | ((rdev >> 12) & 0xfff00),
    close() {
      if (descriptor !== undefined) closeSync(descriptor);
      descriptor = undefined;
    },
  };
}
