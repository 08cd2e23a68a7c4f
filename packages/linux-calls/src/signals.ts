import { constants } from "node:os";
import { invoke } from "./libc.ts";

const SIG_UNBLOCK = 1;
/** sigset_t of glibc, of which the kernel reads the first eight bytes. */
const setBytes = 128;

/**
 * Has the calling thread take a signal that it was started with blocked, as Node leaves SIGUSR1 with `--disable-sigusr1`.
 * What listens to it listens before: one that is pending comes at once.
 */
export function unblockSignal(name: NodeJS.Signals): void {
  const bit = constants.signals[name] - 1;
  const set = Buffer.alloc(setBytes);
  set.writeUInt8(1 << (bit % 8), Math.floor(bit / 8));
  invoke("sigprocmask", name, SIG_UNBLOCK, set, null);
}
