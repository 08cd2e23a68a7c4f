import type { Duplex } from "node:stream";

/** What the host asks of its sockets: AF_HYPERV, addressed by the GUIDs of VM and service. */
export interface HostSockets {
  listen(vmId: string, serviceId: string): Promise<SocketListener>;
  connect(vmId: string, serviceId: string, signal?: AbortSignal): Promise<Duplex>;
  /** The stream of a handle that was opened for overlapped operations, which it closes. */
  streamOf(handle: bigint): Duplex;
  /** Ends every stream and listener. */
  close(): Promise<void>;
}

export interface SocketListener {
  accept(signal?: AbortSignal): Promise<Duplex>;
  close(): Promise<void>;
}

/** What the host asks of the system's processes. */
export interface HostProcesses {
  /** Bytes of the working set of the process that backs a VM's memory. */
  workingSetOf(vmId: string): Promise<number>;
}
