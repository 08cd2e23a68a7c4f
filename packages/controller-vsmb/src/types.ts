/** What the controllers of shares and pipes need of the host; guests are asked nothing. */
import type { VirtualSmbShare } from "@uvm-shim/hcs-schema";

/** `VmHostDevices` of controller-vm satisfies both. */
export interface VsmbHost {
  addVsmbShare(share: VirtualSmbShare, signal?: AbortSignal): Promise<void>;
  /** Changes the list of files that a restricted share allows; the rest of the share is as before. */
  updateVsmbShare(share: VirtualSmbShare, signal?: AbortSignal): Promise<void>;
  removeVsmbShare(share: Pick<VirtualSmbShare, "Name">, signal?: AbortSignal): Promise<void>;
}

/**
 * Named pipes of the host that a VM may open. Both calls reject with an error whose `code` is one of lifecycle's
 * `errorCodes`.
 */
export interface PipeHost {
  /** `path` begins with `\\.\pipe\`. */
  mapPipe(path: string, signal?: AbortSignal): Promise<void>;
  unmapPipe(path: string, signal?: AbortSignal): Promise<void>;
}

/** A directory or a single file of the host to be shared with the guest. */
export interface ShareConfig {
  readonly hostPath: string;
  readonly kind: "directory" | "file";
  readonly readOnly: boolean;
  /** Opens files in spite of their access control lists, as layers need it; default false. */
  readonly takeBackupPrivilege?: boolean;
}
