import { defineTable } from "@uvm-shim/lifecycle";
import type { VmExit, VmGuest } from "./types.ts";

/** Invalid: starting or ending the VM failed. Its resources are still held; terminate releases them. */
export type VmState<Guest extends VmGuest> =
  | { readonly kind: "NotCreated" }
  | { readonly kind: "Created" }
  | { readonly kind: "Running"; readonly guest: Guest; readonly startedAt: Date }
  | { readonly kind: "Invalid"; readonly cause: Error }
  | { readonly kind: "Terminated"; readonly exit: VmExit };

/** The name of a state of `vmTable`. */
export type VmStateKind = VmState<VmGuest>["kind"];
/** What changes a VM's state, or needs one in which it runs. */
export type VmOperation =
  | "create"
  | "start"
  | "update"
  | "statistics"
  | "execute"
  | "dumpStacks"
  | "terminate"
  | "exited";

/** The life of one VM, which starts once. */
export const vmTable = defineTable<VmStateKind, VmOperation>({
  subject: "VM",
  initial: "NotCreated",
  states: ["NotCreated", "Created", "Running", "Invalid", "Terminated"],
  transitions: [
    { kind: "operation", name: "create", from: ["NotCreated"], success: "Created", failure: "unchanged" },
    { kind: "operation", name: "start", from: ["Created"], success: "Running", failure: "Invalid" },
    { kind: "operation", name: "update", from: ["Running"], success: "Running", failure: "unchanged" },
    { kind: "operation", name: "statistics", from: ["Running"], success: "Running", failure: "unchanged" },
    { kind: "operation", name: "execute", from: ["Running"], success: "Running", failure: "unchanged" },
    { kind: "operation", name: "dumpStacks", from: ["Running"], success: "Running", failure: "unchanged" },
    {
      kind: "operation",
      name: "terminate",
      from: ["NotCreated", "Created", "Running", "Invalid"],
      success: "Terminated",
      failure: "Invalid",
    },
    { kind: "event", name: "exited", from: ["Created", "Running"], to: "Terminated" },
  ],
});
