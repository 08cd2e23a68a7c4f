import { defineTable, type Exit } from "@uvm-shim/lifecycle";
import type { GuestContainer } from "./types.ts";

/** The name of a state of `containerTable`. */
export type ContainerStateKind = "NotCreated" | "Created" | "Running" | "Paused" | "Stopped" | "Invalid";
/** What changes a container's state: operations, and the exit of init. */
export type ContainerOperation = "create" | "start" | "pause" | "resume" | "exited" | "delete";

/** Data of each state. Resources are in the controller's acquisitions, whatever the state. */
export type ContainerState =
  | { readonly kind: "NotCreated" }
  | { readonly kind: "Created"; readonly guest: GuestContainer }
  | { readonly kind: "Running"; readonly guest: GuestContainer }
  | { readonly kind: "Paused"; readonly guest: GuestContainer }
  | { readonly kind: "Stopped"; readonly exit: Exit }
  | { readonly kind: "Invalid"; readonly cause: unknown };

/** The life of one Linux container. */
export const containerTable = defineTable<ContainerStateKind, ContainerOperation>({
  subject: "container",
  initial: "NotCreated",
  states: ["NotCreated", "Created", "Running", "Paused", "Stopped", "Invalid"],
  transitions: [
    { kind: "operation", name: "create", from: ["NotCreated"], success: "Created", failure: "Invalid" },
    { kind: "operation", name: "start", from: ["Created"], success: "Running", failure: "Invalid" },
    { kind: "operation", name: "pause", from: ["Running"], success: "Paused", failure: "unchanged" },
    { kind: "operation", name: "resume", from: ["Paused"], success: "Running", failure: "unchanged" },
    { kind: "event", name: "exited", from: ["Created", "Running", "Paused"], to: "Stopped" },
    {
      kind: "operation",
      name: "delete",
      from: ["NotCreated", "Created", "Stopped", "Invalid"],
      success: "Stopped",
      failure: "unchanged",
    },
  ],
});
