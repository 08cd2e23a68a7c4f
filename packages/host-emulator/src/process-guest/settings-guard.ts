import { attachSysctlGuard, loadSysctlGuard } from "@uvm-shim/linux-calls";
import { isLack } from "../hcs-failure.ts";

/** Of the namespaces of network, IPC and names, which guests and containers have of their own. Those in a NUL are whole. */
const ownSettings = [
  ...["net/", "fs/mqueue/", "kernel/shm", "kernel/msg", "kernel/sem", "kernel/auto_msgmni\0"],
  ...["kernel/hostname\0", "kernel/domainname\0", "kernel/ns_last_pid\0"],
];

/**
 * Keeps guests, who have this machine's kernel, from writing its settings. What a user with the id 0 may write there is
 * for no capability to say, and whoever may mount mounts /proc anew: so it is said for the cgroups of a VM.
 */
export class SettingsGuard {
  readonly #report: (message: string) => void;
  #program: number | undefined;
  #isReported = false;

  constructor(report: (message: string) => void) {
    this.#report = report;
  }

  /** Throws where the machine lacks something for it now. `group` is one of version 2, undefined where this machine has none. */
  protect(group: string | undefined): void {
    try {
      if (group === undefined) throw new Error("it has no cgroups of version 2");
      this.#program ??= loadSysctlGuard(ownSettings);
      attachSysctlGuard(this.#program, group);
    } catch (error) {
      // A guest that could be guarded a little later does not run without.
      if (isLack(error)) throw error;
      if (this.#isReported) return;
      this.#isReported = true;
      this.#report(`guests can write the settings of this machine's kernel: ${(error as Error).message}`);
    }
  }
}
