import { closeSync, fstatSync } from "node:fs";
import koffi from "koffi";
import { invoke } from "./libc.ts";

const PROT_READ = 1;
const PROT_WRITE = 2;
const MAP_SHARED = 1;
const MFD_CLOEXEC = 1;
const MFD_ALLOW_SEALING = 2;
const F_ADD_SEALS = 1033;
const F_GET_SEALS = 1034;
const F_SEAL_SHRINK = 2;
const F_SEAL_GROW = 4;
const pageSize = 4096;

/** Memory that is shared with another process, which changes it at any time. */
export interface MappedMemory {
  /** After `unmap` it has no bytes. */
  readonly buffer: ArrayBuffer;
  /** Repeatable. Takes the bytes from the buffer first, so that nothing reads or writes where the memory was. */
  unmap(): void;
}

/** A file in memory of a fixed size. The caller owns the descriptor, which is not inherited. */
export function createSharedMemory(name: string, size: number): number {
  const descriptor = invoke("memfd_create", name, name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
  try {
    invoke("ftruncate", name, descriptor, size);
    invoke("fcntl", name, descriptor, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW);
    return descriptor;
  } catch (error) {
    closeSync(descriptor);
    throw error;
  }
}

/**
 * Maps a part of another process's memory file for reading and writing. The file must be sealed against shrinking:
 * whoever touches memory that a file no longer has is killed.
 */
export function mapSharedMemory(descriptor: number, offset: number, length: number): MappedMemory {
  if ((invoke("fcntl", "F_GET_SEALS", descriptor, F_GET_SEALS, 0) & F_SEAL_SHRINK) === 0) {
    throw new Error("shared memory is not sealed against shrinking: expected a memory file with F_SEAL_SHRINK");
  }
  const { size } = fstatSync(descriptor);
  if (length <= 0 || offset < 0 || offset + length > size) {
    throw new RangeError(`invalid part of shared memory ${offset}+${length}: expected one within ${size} bytes`);
  }
  const lead = offset % pageSize;
  const whole = lead + length;
  const address = invoke(
    "mmap",
    "shared memory",
    null,
    whole,
    PROT_READ | PROT_WRITE,
    MAP_SHARED,
    descriptor,
    offset - lead,
  );
  const buffer = koffi.view(BigInt(address + lead), length);
  return {
    buffer,
    unmap() {
      if (buffer.detached) return;
      buffer.transfer();
      invoke("munmap", "shared memory", address, whole);
    },
  };
}
