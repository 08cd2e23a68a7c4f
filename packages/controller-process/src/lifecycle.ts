import { defineTable, type Exit } from "@uvm-shim/lifecycle";
import type { Supervision } from "./supervision.ts";
import type { GuestProcess, OpenStdio } from "./types.ts";

/** The name of a state of `processTable`. */
export type ProcessStateKind = "NotCreated" | "Created" | "Running" | "Terminated";
/** What changes a process's state: two operations, and what happens to it. */
export type ProcessOperation = "create" | "start" | "abandoned" | "exited";

/** What a process has in each state. */
export type ProcessState<Signal = number> =
  | { readonly kind: "NotCreated" }
  | { readonly kind: "Created"; readonly upstream: OpenStdio }
  | {
      readonly kind: "Running";
      readonly upstream: OpenStdio;
      readonly guest: GuestProcess<Signal>;
      readonly supervision: Supervision;
    }
  | { readonly kind: "Terminated"; readonly exit: Exit };

/** The life of one process, whose exit is published once. */
export const processTable = defineTable<ProcessStateKind, ProcessOperation>({
  subject: "process",
  initial: "NotCreated",
  states: ["NotCreated", "Created", "Running", "Terminated"],
  transitions: [
    { kind: "operation", name: "create", from: ["NotCreated"], success: "Created", failure: "unchanged" },
    { kind: "operation", name: "start", from: ["Created"], success: "Running", failure: "Terminated" },
    { kind: "event", name: "abandoned", from: ["Created"], to: "Terminated" },
    { kind: "event", name: "exited", from: ["Running"], to: "Terminated" },
  ],
});
