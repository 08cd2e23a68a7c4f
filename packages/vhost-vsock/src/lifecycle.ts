import { defineTable } from "@uvm-shim/lifecycle";
import type { VsockDeviceError } from "./device-error.ts";

/** Listening: no machine yet. Served: a machine has connected; it is the only one. */
export type DeviceState =
  | { readonly kind: "Listening" }
  | { readonly kind: "Served" }
  | { readonly kind: "Closed" }
  | { readonly kind: "Failed"; readonly error: VsockDeviceError };
/** The name of a state. */
export type DeviceStateKind = DeviceState["kind"];
/** What changes a device's state. */
export type DeviceOperation = "connect" | "fail" | "close";

/** The life of a device, which ends with its machine's connection. */
export const deviceTable = defineTable<DeviceStateKind, DeviceOperation>({
  subject: "vsock device",
  initial: "Listening",
  states: ["Listening", "Served", "Closed", "Failed"],
  transitions: [
    { kind: "event", name: "connect", from: ["Listening"], to: "Served" },
    { kind: "event", name: "fail", from: ["Listening", "Served"], to: "Failed" },
    { kind: "event", name: "close", from: ["Listening", "Served"], to: "Closed" },
  ],
});
