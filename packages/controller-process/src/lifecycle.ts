import { defineTable } from "@uvm-shim/lifecycle";
import type { Supervision } from "./supervision.ts";
import type { GuestProcess, OpenStdio, ProcessExit } from "./types.ts";

export type ProcessStateName = "NotCreated" | "Created" | "Running" | "Terminated";
export type ProcessTransition = "create" | "start" | "abandon" | "exit";

/** What a process has in each state. */
export type ProcessState =
  | { readonly kind: "NotCreated" }
  | { readonly kind: "Created"; readonly upstream: OpenStdio }
  | {
      readonly kind: "Running";
      readonly upstream: OpenStdio;
      readonly guest: GuestProcess;
      readonly supervision: Supervision;
    }
  | { readonly kind: "Terminated"; readonly exit: ProcessExit };

export const processTable = defineTable<ProcessStateName, ProcessTransition>({
  subject: "process",
  initial: "NotCreated",
  states: ["NotCreated", "Created", "Running", "Terminated"],
  transitions: [
    { kind: "operation", name: "create", from: ["NotCreated"], success: "Created", failure: "unchanged" },
    { kind: "operation", name: "start", from: ["Created"], success: "Running", failure: "Terminated" },
    { kind: "event", name: "abandon", from: ["Created"], to: "Terminated" },
    { kind: "event", name: "exit", from: ["Running"], to: "Terminated" },
  ],
});
