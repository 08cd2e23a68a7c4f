import { constants } from "node:os";
import { invoke } from "./libc.ts";

const SIG_UNBLOCK = 1;
/** Size of glibc's sigset_t. */
const setBytes = 128;

/**
 * Unblocks a signal for the calling thread, as SIGUSR1 is blocked under Node's `--disable-sigusr1`. Add the listener
 * first: a pending signal is delivered at once.
 */
export function unblockSignal(name: NodeJS.Signals): void {
  const bit = constants.signals[name] - 1;
  const set = Buffer.alloc(setBytes);
  set.writeUInt8(1 << (bit % 8), Math.floor(bit / 8));
  invoke("sigprocmask", name, SIG_UNBLOCK, set, null);
}
