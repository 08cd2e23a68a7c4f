/** What a guest's operations require of their surroundings, whatever its flavour. */
import type { Duplex } from "node:stream";
import type { Clock } from "@uvm-shim/lifecycle";
import type { BridgeOptions } from "../channel.ts";

/** What a guest is made from, whatever its flavour; controllers and composition roots pass it on. */
export interface GuestOptions extends BridgeOptions, Pick<Clock, "delay"> {
  /** Listens on a vsock port of the VM, for the stdio of processes. */
  listen(port: number): Promise<StdioListener>;
  /** A fresh GUID for each request. */
  newActivityId(): string;
  /**
   * Id of the first message over this bridge; 1 if absent. A guest may yet answer messages of an earlier bridge by their
   * ids, so no two bridges should use the same.
   */
  readonly firstMessageId?: bigint;
  readonly log: GuestLog;
  /** How long the guest may take to dial the stdio of a process, in milliseconds. */
  readonly stdioTimeoutMs?: number;
}

/** A port of the host that a guest dials once. */
export interface StdioListener {
  accept(signal?: AbortSignal): Promise<Duplex>;
  close(): Promise<void>;
}

/** Takes what is said about a guest that misbehaves. Fields may hold the guest's own texts. */
export interface GuestLog {
  log(level: "debug" | "warn", message: string, fields?: { readonly [key: string]: unknown }): void;
}
