/** What a virtual machine has from other parts of the host. */
import type { Plan9Share } from "@uvm-shim/hcs-schema";
import { HcsFailure } from "../hcs-failure.ts";

/** The machine that a part serves. */
export interface ServedMachine {
  readonly name: string;
  /** Folder of the VM with its hvsockets. */
  readonly directory: string;
}

/** A machine's vsock device, which is in this process, and speaks vhost-user. */
export interface VsockDevice {
  /** QEMU's end of the connection. */
  readonly descriptor: number;
  /** Closes QEMU's end here, once QEMU has its copy. */
  release(): void;
  /** Resolves if the device fails while the machine runs. */
  readonly failed: Promise<Error>;
  /** Ends all connections, and the device. */
  close(): Promise<void>;
}

/** The Plan9 shares of one machine, which its guest mounts over vsock. */
export interface MachineShares {
  add(share: Plan9Share): Promise<void>;
  remove(accessName: string): Promise<void>;
  /** Ends all servers. */
  close(): Promise<void>;
}

/** Milliseconds. */
export interface QemuTimeouts {
  /** From the start until QEMU runs its guest, which boots then. */
  readonly bootMs: number;
  readonly answerMs: number;
  /** That a guest has to let go of a device. */
  readonly unplugMs: number;
  /** That a guest has to give or take memory. */
  readonly resizeMs: number;
  readonly cgroupMs: number;
  /** From the end of QEMU's monitor until its own. */
  readonly closingMs: number;
}

/** A machine without a server of 9p. */
export const noShares: MachineShares = {
  add: async ({ AccessName: name }) => {
    throw new HcsFailure("ERROR_NOT_SUPPORTED", `share ${name}: this host has no 9p server for virtual machines`);
  },
  remove: async (name) => {
    throw new HcsFailure("ERROR_NOT_FOUND", `share ${name} does not exist`);
  },
  close: async () => {},
};
