/** What the Plan9 controller needs of the host and of a Linux guest. */
import type { LinuxMappedDirectory, Plan9Share } from "@uvm-shim/hcs-schema";

/**
 * The host's 9p server. Both calls reject with an error whose `code` is one of lifecycle's `errorCodes`; `gone`, or
 * NotFound, says that there is nothing to remove.
 */
export interface Plan9Host {
  addShare(share: Plan9Share, signal?: AbortSignal): Promise<void>;
  removeShare(share: Pick<Plan9Share, "Name" | "AccessName" | "Port">, signal?: AbortSignal): Promise<void>;
}

/** The guest's mounts of shares, with the errors of `Plan9Host`. */
export interface Plan9Guest {
  mountShare(directory: LinuxMappedDirectory, signal?: AbortSignal): Promise<void>;
  unmountShare(directory: LinuxMappedDirectory, signal?: AbortSignal): Promise<void>;
}

/** A directory of the host to be shared with the guest. */
export interface ShareConfig {
  readonly hostPath: string;
  readonly readOnly: boolean;
  /** Only these files directly in hostPath may be opened. Absent: everything below it. */
  readonly allowedFiles?: readonly string[];
  /** Where the guest mounts it, instead of at the default path. */
  readonly guestPath?: string;
}
