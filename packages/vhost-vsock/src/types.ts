import type { Duplex } from "node:stream";
import type { VsockDeviceError } from "./device-error.ts";

/** Bounds of what one guest can make its device hold. */
export interface DeviceLimits {
  /** Connections at once, of both directions. More are refused. */
  readonly connections: number;
  /** Bytes that the guest may send ahead on one connection before the host has taken them. */
  readonly aheadOfHost: number;
  /** The same on all connections together, as far as each still gets the least that works. */
  readonly aheadOfHostInAll: number;
}

/** What a device is made with. */
export interface VsockDeviceOptions {
  /** Names the device in state changes and messages. */
  readonly id: string;
  /** The guest's vsock address, 3 or more. */
  readonly guestCid: number;
  /**
   * Where the host's sockets are: it listens on `<base>_<port>` for what the guest dials, and dials the guest at `<base>`,
   * which the device makes.
   */
  readonly socketBase: string;
  readonly limits?: Partial<DeviceLimits>;
}

/** What a device is made with that waits for its machine. */
export interface ListeningOptions extends VsockDeviceOptions {
  /** The socket that the machine connects to: `-chardev socket,path=...`. */
  readonly machineSocket: string;
}

/** How a device ended: by `close`, or by itself. */
export type DeviceEnd = { readonly kind: "closed" } | { readonly kind: "failed"; readonly error: VsockDeviceError };

/** What connections of the guest lead to. */
export interface HostPorts {
  /** A stream that can be half-closed, or a rejection if nothing listens at the port. */
  dial(port: number): Promise<Duplex>;
}
