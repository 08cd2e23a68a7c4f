import { closeSync } from "node:fs";
import { join } from "node:path";
import { hvsocketBaseName } from "@uvm-shim/host-protocol/guest";
import { connectUnixSocket } from "@uvm-shim/linux-calls";
import { HcsFailure } from "../hcs-failure.ts";
import type { ServedMachine, VsockDevice } from "./parts.ts";

/** A device that serves the first machine that connects, as one of packages/vhost-vsock. */
export interface ListeningDevice {
  readonly ended: Promise<{ readonly kind: "closed" } | { readonly kind: "failed"; readonly error: Error }>;
  close(): void;
}

/** Makes a device that listens for its machine, and has its sockets for the host at a base. */
export type ListenForMachine = (options: {
  readonly id: string;
  readonly machineSocket: string;
  readonly guestCid: number;
  readonly socketBase: string;
}) => Promise<ListeningDevice>;

/** Each machine has a bus of its own, so that all guests can have the same address. */
const guestCid = 3;
const socketName = "vhost-user";

/** Makes a machine's vsock device, and connects QEMU's end to it: a confined QEMU could not. */
export async function connectVsock(listen: ListenForMachine, machine: ServedMachine): Promise<VsockDevice> {
  const { name: id, directory } = machine;
  const machineSocket = join(directory, socketName);
  const device = await listen({ id, machineSocket, guestCid, socketBase: join(directory, hvsocketBaseName) });
  try {
    const descriptor = connectUnixSocket(machineSocket);
    if (descriptor === undefined) {
      throw new HcsFailure("ERROR_NO_SYSTEM_RESOURCES", "the vsock device does not take its machine");
    }
    const failed = device.ended.then((end) => (end.kind === "failed" ? end.error : never()));
    return { descriptor, release: () => closeSync(descriptor), failed, close: async () => device.close() };
  } catch (error) {
    device.close();
    throw error;
  }
}

function never(): Promise<never> {
  return new Promise(() => {});
}
