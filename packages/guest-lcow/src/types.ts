/** What a Linux guest asks of its surroundings. */
import type { Duplex } from "node:stream";
import type { BridgeOptions } from "@uvm-shim/gcs-bridge";
import type { Clock } from "@uvm-shim/lifecycle";

export interface LinuxGuestOptions extends BridgeOptions, Pick<Clock, "delay"> {
  /** Listens on a vsock port of the VM, for the stdio of processes. */
  listen(port: number): Promise<StdioListener>;
  /** A fresh GUID for each request. */
  newActivityId(): string;
  /**
   * Of the first message over this bridge; a guest that was spoken with before may yet answer what it was asked then, so
   * that no two bridges should use the same. 1 when absent.
   */
  readonly firstMessageId?: bigint;
  readonly log: GuestLog;
  /** Time for a guest that has started a process to have dialled its stdio, in milliseconds. */
  readonly stdioTimeoutMs?: number;
}

export interface StdioListener {
  accept(signal?: AbortSignal): Promise<Duplex>;
  close(): Promise<void>;
}

export interface GuestLog {
  log(level: "debug" | "warn", message: string, fields?: { readonly [key: string]: unknown }): void;
}
