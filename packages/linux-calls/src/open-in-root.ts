import { constants } from "node:os";
import koffi from "koffi";
import { LinuxCallError } from "./error.ts";
import { invoke } from "./libc.ts";
import { emptyOf, openHow } from "./structures.ts";

/** Flag of open(2): a descriptor that leads to a place and opens nothing, so that it waits for nobody. */
export const O_PATH = 0o10000000;

const O_CLOEXEC = 0o2000000;
const RESOLVE_NO_MAGICLINKS = 0x02;
const RESOLVE_IN_ROOT = 0x10;
/** The kernel says EAGAIN where a rename beside it leaves it in doubt whether a ".." led out. */
const mostAttempts = 64;

/**
 * openat2(2) of what is there already: the path is followed as a process would whose root the folder is, whatever is
 * exchanged on the way meanwhile. The descriptor is the caller's, and is not inherited.
 */
export function openInRoot(root: number, path: string, flags: number): number {
  const how = emptyOf(openHow);
  koffi.encode(how, openHow, {
    flags: flags | O_CLOEXEC,
    mode: 0,
    resolve: RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
  });
  for (let attempt = 1; ; attempt++) {
    try {
      return invoke("openat2", path, root, path, how, how.length);
    } catch (error) {
      const isInDoubt = error instanceof LinuxCallError && error.errno === constants.errno.EAGAIN;
      if (!isInDoubt || attempt === mostAttempts) throw error;
    }
  }
}
