import { constants } from "node:os";
import koffi from "koffi";
import { LinuxCallError } from "./error.ts";
import { invoke } from "./libc.ts";
import { emptyOf, signalInformation } from "./structures.ts";

const WNOHANG = 1;
const WEXITED = 4;
const WNOWAIT = 0x01000000;
const P_ALL = 0;
const PR_SET_CHILD_SUBREAPER = 36;

/** How a child ended. */
export interface ProcessExit {
  readonly exited: true;
  /** Exit status, or 128 plus the number of the signal that ended the process, as shells report it. */
  readonly exitCode: number;
  readonly signal: number | undefined;
}

/**
 * waitpid(2) for one child. Undefined while it runs (with `noHang`); ECHILD for any other process. Must not be called
 * for a child of node:child_process: Node would wait for it for ever.
 */
export function waitProcess(
  pid: number,
  options: { readonly noHang: boolean } = { noHang: true },
): ProcessExit | undefined {
  const status = new Int32Array(1);
  if (invoke("waitpid", `process ${pid}`, pid, status, options.noHang ? WNOHANG : 0) === 0) return undefined;
  const word = status[0] ?? 0;
  const signal = word & 0x7f;
  return signal === 0
    ? { exited: true, exitCode: (word >> 8) & 0xff, signal: undefined }
    : { exited: true, exitCode: 128 + signal, signal };
}

/**
 * Collects the exit of one child, unless `isOwned` claims it. `isOwned` must claim the children of node:child_process,
 * whose exits belong to Node. Undefined if no child has exited. "owned" if a claimed child is first in the kernel's
 * list: call again after a turn of the event loop, in which Node collects it.
 */
export function reapAny(
  isOwned: (pid: number) => boolean,
): (ProcessExit & { readonly pid: number }) | "owned" | undefined {
  const information = emptyOf(signalInformation);
  try {
    invoke("waitid", "any child", P_ALL, 0, information, WEXITED | WNOHANG | WNOWAIT);
  } catch (error) {
    if (error instanceof LinuxCallError && error.errno === constants.errno.ECHILD) return undefined;
    throw error;
  }
  const { si_pid: pid } = koffi.decode(information, signalInformation) as { si_pid: number };
  if (pid === 0) return undefined;
  if (isOwned(pid)) return "owned";
  const exit = waitProcess(pid);
  return exit === undefined ? undefined : { ...exit, pid };
}

/** Orphans among the descendants of this process become its children. */
export function becomeSubreaper(): void {
  invoke("prctl", "PR_SET_CHILD_SUBREAPER", PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
}

/** sethostname(2): the name of this process's UTS namespace, at most 64 bytes. */
export function setHostName(name: string): void {
  invoke("sethostname", name, name, Buffer.byteLength(name));
}
