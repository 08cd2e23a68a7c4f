import type { Duplex } from "node:stream";
import type { HvsocketListener, HvsocketService } from "../../types.ts";

/** hvsockets, as the host uses them. VMs are identified by GUID. */
export interface HostSockets {
  listen(vmId: string, service: HvsocketService): Promise<HvsocketListener>;
  connect(vmId: string, service: HvsocketService, signal?: AbortSignal): Promise<Duplex>;
  /**
   * Opens a stream on a handle that was opened for overlapped reading (`in`) or writing (`out`). It takes ownership of
   * the handle, even if it throws.
   */
  streamOf(handle: bigint, way: "in" | "out"): Duplex;
  /** Closes all streams and listeners. */
  close(): Promise<void>;
}

/** Processes of Windows, as the host uses them. */
export interface HostProcesses {
  /** Bytes of the working set of the process that holds the memory of a VM. */
  workingSetOf(vmId: string): Promise<number>;
}
