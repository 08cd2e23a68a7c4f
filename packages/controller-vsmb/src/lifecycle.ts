import { defineTable, type StateData } from "@uvm-shim/lifecycle";

/**
 * A share under its name. Invalid: adding or removing it failed, so it is unknown whether the VM has it. Stale: an
 * update failed, so it is unknown whether the VM allows the file that was new; it allows those of before.
 */
export type ShareStateKind = "Reserved" | "Added" | "Stale" | "Invalid" | "Removed";
/** The state of one share; it has no data of its own. */
export type ShareState = StateData<ShareStateKind>;
/** What changes a share's state; `update` sends the whole list of allowed files. */
export type ShareOperation = "add" | "update" | "remove";

/** The life of one share, which is never added twice. */
export const shareTable = defineTable<ShareStateKind, ShareOperation>({
  subject: "VSMB share",
  initial: "Reserved",
  states: ["Reserved", "Added", "Stale", "Invalid", "Removed"],
  transitions: [
    { kind: "operation", name: "add", from: ["Reserved"], success: "Added", failure: "Invalid" },
    { kind: "operation", name: "update", from: ["Added", "Stale"], success: "Added", failure: "Stale" },
    { kind: "operation", name: "remove", from: ["Added", "Stale", "Invalid"], success: "Removed", failure: "Invalid" },
    { kind: "operation", name: "remove", from: ["Reserved"], success: "Removed", failure: "unchanged" },
  ],
});

/** A pipe of the host. Invalid: mapping or unmapping it failed, so it is unknown whether the VM has it. */
export type PipeStateKind = "Reserved" | "Mapped" | "Invalid" | "Unmapped";
/** The state of one mapped pipe; it has no data of its own. */
export type PipeState = StateData<PipeStateKind>;
/** What changes a mapped pipe's state. */
export type PipeOperation = "map" | "unmap";

/** The life of one mapped pipe. */
export const pipeTable = defineTable<PipeStateKind, PipeOperation>({
  subject: "mapped pipe",
  initial: "Reserved",
  states: ["Reserved", "Mapped", "Invalid", "Unmapped"],
  transitions: [
    { kind: "operation", name: "map", from: ["Reserved"], success: "Mapped", failure: "Invalid" },
    { kind: "operation", name: "unmap", from: ["Mapped", "Invalid"], success: "Unmapped", failure: "Invalid" },
    { kind: "operation", name: "unmap", from: ["Reserved"], success: "Unmapped", failure: "unchanged" },
  ],
});
