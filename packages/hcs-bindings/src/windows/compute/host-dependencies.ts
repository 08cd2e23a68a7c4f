import type { Duplex } from "node:stream";
import type { HvsocketListener, HvsocketService } from "../../types.ts";

/** What the host asks of its sockets. VMs are known by their GUIDs. */
export interface HostSockets {
  listen(vmId: string, service: HvsocketService): Promise<HvsocketListener>;
  connect(vmId: string, service: HvsocketService, signal?: AbortSignal): Promise<Duplex>;
  /**
   * The stream of a handle that was opened for overlapped operations of reading (`in`) or writing, which it closes, also
   * when it throws.
   */
  streamOf(handle: bigint, way: "in" | "out"): Duplex;
  /** Ends every stream and listener. */
  close(): Promise<void>;
}

/** What the host asks of the system's processes. */
export interface HostProcesses {
  /** Bytes of the working set of the process that backs a VM's memory. */
  workingSetOf(vmId: string): Promise<number>;
}
