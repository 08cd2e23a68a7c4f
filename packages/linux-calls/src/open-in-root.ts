import { constants as fileConstants } from "node:fs";
import koffi from "koffi";

import { invoke, repeatIfInterrupted } from "./libc.ts";
import { emptyOf, openHow } from "./structures.ts";

/** Flag of open(2): the descriptor refers to a place without opening it, so that it never waits. */
export const O_PATH = 0o10000000;

const { O_DIRECTORY } = fileConstants;
const O_CLOEXEC = 0o2000000;
const RESOLVE_NO_XDEV = 0x01;
const RESOLVE_NO_MAGICLINKS = 0x02;
const RESOLVE_NO_SYMLINKS = 0x04;
const RESOLVE_IN_ROOT = 0x10;

/**
 * openat2(2) of an existing file: the path is resolved as in a process with `root` as its root directory, even if
 * somebody replaces parts of it meanwhile. The caller owns the descriptor, which is not inherited.
 */
export function openInRoot(root: number, path: string, flags: number): number {
  return open(root, path, flags, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
}

/**
 * openat2(2) of a folder in `parent`, unless it is a symbolic link (ELOOP) or a mount point (EXDEV), even one mounted
 * meanwhile. The caller owns the descriptor, which is not inherited.
 */
export function openFolderOfMount(parent: number, name: string): number {
  return open(parent, name, O_DIRECTORY, RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS);
}

function open(folder: number, path: string, flags: number, resolve: number): number {
  const how = emptyOf(openHow);
  koffi.encode(how, openHow, { flags: flags | O_CLOEXEC, mode: 0, resolve });
  // EAGAIN: a rename beside it leaves the kernel in doubt whether a ".." led out.
  return repeatIfInterrupted(() => invoke("openat2", path, folder, path, how, how.length));
}
