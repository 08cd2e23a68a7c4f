import { defineTable } from "@uvm-shim/lifecycle";
import type { PodVmExit } from "./types.ts";

export type PodStateName = "Created" | "Running" | "Stopped";
export type PodTransition = "start" | "vmExit";

export type PodState =
  | { readonly kind: "Created" }
  | { readonly kind: "Running"; readonly startedAt: Date }
  | { readonly kind: "Stopped"; readonly exit: PodVmExit };

/** A pod lives as long as its VM: whoever ends it, it is the VM's exit that makes it Stopped. */
export const podTable = defineTable<PodStateName, PodTransition>({
  subject: "pod",
  initial: "Created",
  states: ["Created", "Running", "Stopped"],
  transitions: [
    { kind: "operation", name: "start", from: ["Created"], success: "Running", failure: "unchanged" },
    { kind: "event", name: "vmExit", from: ["Created", "Running"], to: "Stopped" },
  ],
});
