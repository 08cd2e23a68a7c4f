import type { VmExit } from "@uvm-shim/controller-vm";
import { defineTable, type Exit } from "@uvm-shim/lifecycle";

/** The name of a state of `podTable`. */
export type PodStateKind = "Created" | "Running" | "Unready" | "Stopped";
/** What changes a pod's state: one operation, and what happens to it. */
export type PodOperation = "start" | "sandboxExited" | "vmExited";

/** The state of a pod, with when it started and how it ended. */
export type PodState =
  | { readonly kind: "Created" }
  | { readonly kind: "Running"; readonly startedAt: Date }
  /** The VM still runs, so that its containers can be ended in order, but accepts no new ones. */
  | { readonly kind: "Unready"; readonly startedAt: Date; readonly exit: Exit }
  | { readonly kind: "Stopped"; readonly exit: VmExit };

/**
 * A pod lives as long as its VM: only the VM's exit makes it Stopped. When its own sandbox container has ended, the pod
 * has no namespaces for further containers.
 */
export const podTable = defineTable<PodStateKind, PodOperation>({
  subject: "pod",
  initial: "Created",
  states: ["Created", "Running", "Unready", "Stopped"],
  transitions: [
    { kind: "operation", name: "start", from: ["Created"], success: "Running", failure: "unchanged" },
    { kind: "event", name: "sandboxExited", from: ["Running"], to: "Unready" },
    { kind: "event", name: "vmExited", from: ["Created", "Running", "Unready"], to: "Stopped" },
  ],
});
