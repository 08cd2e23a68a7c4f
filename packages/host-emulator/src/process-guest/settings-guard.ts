import { attachSysctlGuard, loadSysctlGuard } from "@uvm-shim/linux-calls";
import { isLack } from "../hcs-failure.ts";

/** Settings of the network, IPC, UTS and pid namespaces, which guests and containers have of their own. Entries that end with NUL are full names; others are prefixes. */
const ownSettings = [
  ...["net/", "fs/mqueue/", "kernel/shm", "kernel/msg", "kernel/sem", "kernel/auto_msgmni\0"],
  ...["kernel/hostname\0", "kernel/domainname\0", "kernel/ns_last_pid\0"],
];

/**
 * Keeps guests from writing settings of the shared kernel. No capability restricts what user 0 may write there, and a new
 * mount of /proc would undo a read-only one; so the guard applies to the cgroups of a VM.
 */
export class SettingsGuard {
  readonly #report: (message: string) => void;
  #program: number | undefined;
  #isReported = false;

  constructor(report: (message: string) => void) {
    this.#report = report;
  }

  /** Throws on a temporary shortage of resources. `group` is of version 2; undefined if this machine has none. */
  protect(group: string | undefined): void {
    try {
      if (group === undefined) throw new Error("this machine has no cgroups of version 2");
      this.#program ??= loadSysctlGuard(ownSettings);
      attachSysctlGuard(this.#program, group);
    } catch (error) {
      // After a temporary shortage, a guest must not run unguarded.
      if (isLack(error)) throw error;
      if (this.#isReported) return;
      this.#isReported = true;
      this.#report(`guests can write kernel settings of this machine: ${(error as Error).message}`);
    }
  }
}
