import { closeSync, readFileSync, writeSync } from "node:fs";
import { constants } from "node:os";
import { LinuxCallError } from "./error.ts";
import { invoke } from "./libc.ts";

const MFD_CLOEXEC = 1;
const MFD_ALLOW_SEALING = 2;
/** Known to kernels since 6.3, some of which are told to make nothing executable without it. */
const MFD_EXEC = 0x10;
const F_ADD_SEALS = 1033;
/** That nothing is written to it, neither shrinks nor grows it, and no seal is added. */
const allSeals = 0xf;

/**
 * Copies a file to memory, where nobody can change it any more. The caller owns the descriptor, which children do not
 * inherit.
 */
export function sealedCopy(path: string): number {
  return sealedFile(path, readFileSync(path));
}

/** As {@link sealedCopy}, a file with this content; it has the last part of the path as its name. */
export function sealedFile(path: string, content: Uint8Array): number {
  const descriptor = memoryFile(path);
  try {
    for (let written = 0; written < content.length; ) written += writeSync(descriptor, content, written);
    invoke("fcntl", path, descriptor, F_ADD_SEALS, allSeals);
    return descriptor;
  } catch (error) {
    closeSync(descriptor);
    throw error;
  }
}

function memoryFile(path: string): number {
  const make = (flags: number): number => invoke("memfd_create", path, path.slice(path.lastIndexOf("/") + 1), flags);
  try {
    return make(MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);
  } catch (error) {
    if (!(error instanceof LinuxCallError) || error.errno !== constants.errno.EINVAL) throw error;
    return make(MFD_CLOEXEC | MFD_ALLOW_SEALING);
  }
}
