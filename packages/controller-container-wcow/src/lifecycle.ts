import { defineTable, type Exit } from "@uvm-shim/lifecycle";
import type { GuestContainer } from "./types.ts";

/** The name of a state of `containerTable`. */
export type ContainerStateKind = "NotCreated" | "Created" | "Running" | "Ending" | "Stopped" | "Invalid";
/** What changes a container's state: operations, and what happens to it. */
export type ContainerOperation = "create" | "start" | "initExited" | "ended" | "delete";

/** Data of each state. Resources are in the controller's acquisitions, whatever the state. */
export type ContainerState =
  | { readonly kind: "NotCreated" }
  | { readonly kind: "Created"; readonly guest: GuestContainer }
  | { readonly kind: "Running"; readonly guest: GuestContainer }
  /** The init process has ended; the container goes on until it is shut down. */
  | { readonly kind: "Ending"; readonly guest: GuestContainer }
  | { readonly kind: "Stopped"; readonly exit: Exit }
  | { readonly kind: "Invalid"; readonly cause: unknown };

/** The life of one Windows container, which may outlive its init process. */
export const containerTable = defineTable<ContainerStateKind, ContainerOperation>({
  subject: "container",
  initial: "NotCreated",
  states: ["NotCreated", "Created", "Running", "Ending", "Stopped", "Invalid"],
  transitions: [
    { kind: "operation", name: "create", from: ["NotCreated"], success: "Created", failure: "Invalid" },
    { kind: "operation", name: "start", from: ["Created"], success: "Running", failure: "Invalid" },
    { kind: "event", name: "initExited", from: ["Created", "Running"], to: "Ending" },
    { kind: "event", name: "ended", from: ["Ending"], to: "Stopped" },
    {
      kind: "operation",
      name: "delete",
      from: ["NotCreated", "Stopped", "Invalid"],
      success: "Stopped",
      failure: "unchanged",
    },
  ],
});
