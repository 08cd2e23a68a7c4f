/** The host's ports as a virtual machine reaches them: by AF_VSOCK. */
import type { Socket } from "node:net";
import { connectVsock, socketOf, vsockHost } from "@uvm-shim/linux-calls";

const notAborted = new AbortController().signal;

/** Dials a port of the host. Rejects if nothing listens there, and with the signal's reason if it aborts. */
export async function dialVsock(port: number, signal: AbortSignal = notAborted): Promise<Socket> {
  return socketOf(await dialVsockDescriptor(port, signal));
}

/** As `dialVsock`, but returns a descriptor, which the caller owns. */
export async function dialVsockDescriptor(port: number, signal: AbortSignal): Promise<number> {
  try {
    return await connectVsock(vsockHost, port, signal);
  } catch (error) {
    if (signal.aborted) throw signal.reason;
    const { message } = error as Error;
    throw new Error(`hvsocket port ${port} of the host: ${message}`, { cause: error });
  }
}
