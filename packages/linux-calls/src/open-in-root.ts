import { constants as fileConstants } from "node:fs";
import koffi from "koffi";

import { invoke, repeatIfInterrupted } from "./libc.ts";
import { emptyOf, openHow } from "./structures.ts";

/** Flag of open(2): a descriptor that leads to a place and opens nothing, so that it waits for nobody. */
export const O_PATH = 0o10000000;

const { O_DIRECTORY } = fileConstants;
const O_CLOEXEC = 0o2000000;
const RESOLVE_NO_XDEV = 0x01;
const RESOLVE_NO_MAGICLINKS = 0x02;
const RESOLVE_NO_SYMLINKS = 0x04;
const RESOLVE_IN_ROOT = 0x10;

/**
 * openat2(2) of what is there already: the path is followed as a process would whose root the folder is, whatever is
 * exchanged on the way meanwhile. The descriptor is the caller's, and is not inherited.
 */
export function openInRoot(root: number, path: string, flags: number): number {
  return open(root, path, flags, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
}

/**
 * openat2(2) of a folder in another, if it is in the same mount and no link: what has been mounted there meanwhile is
 * refused with EXDEV. The descriptor is the caller's, and is not inherited.
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
