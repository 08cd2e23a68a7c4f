/** What the Plan9 controller asks of the host and of a Linux guest. */
import type { LinuxMappedDirectory, Plan9Share } from "@uvm-shim/hcs-schema";

export interface Plan9Host {
  addShare(share: Plan9Share, signal?: AbortSignal): Promise<void>;
  removeShare(share: Pick<Plan9Share, "Name" | "AccessName" | "Port">, signal?: AbortSignal): Promise<void>;
}

export interface Plan9Guest {
  mountShare(directory: LinuxMappedDirectory, signal?: AbortSignal): Promise<void>;
  unmountShare(directory: LinuxMappedDirectory, signal?: AbortSignal): Promise<void>;
}

/** A directory of the host that the guest shall see. */
export interface ShareConfig {
  readonly hostPath: string;
  readonly readOnly: boolean;
  /** Only these names, directly below hostPath, may be opened. Absent: all that is below it. */
  readonly allowedFiles?: readonly string[];
  /** Where the guest mounts it, instead of at a place of its own. */
  readonly guestPath?: string;
}
