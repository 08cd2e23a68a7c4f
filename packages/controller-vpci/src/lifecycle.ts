import { defineTable, type StateData } from "@uvm-shim/lifecycle";

/**
 * An assignment under its VMBus GUID. AssignedInvalid: a step failed, so the host may have assigned the device, and it
 * is unknown what the guest has.
 */
export type AssignmentStateKind = "Reserved" | "Assigned" | "Ready" | "AssignedInvalid" | "Removed";
/** The state of one assignment; it has no data of its own. */
export type AssignmentState = StateData<AssignmentStateKind>;
/** What changes an assignment's state. */
export type AssignmentOperation = "assign" | "wait" | "remove";

/** The life of one assignment, which is never made twice. */
export const assignmentTable = defineTable<AssignmentStateKind, AssignmentOperation>({
  subject: "vPCI assignment",
  initial: "Reserved",
  states: ["Reserved", "Assigned", "Ready", "AssignedInvalid", "Removed"],
  transitions: [
    { kind: "operation", name: "assign", from: ["Reserved"], success: "Assigned", failure: "AssignedInvalid" },
    { kind: "operation", name: "wait", from: ["Assigned"], success: "Ready", failure: "AssignedInvalid" },
    { kind: "operation", name: "remove", from: ["Ready"], success: "Removed", failure: "AssignedInvalid" },
    {
      kind: "operation",
      name: "remove",
      from: ["AssignedInvalid", "Reserved"],
      success: "Removed",
      failure: "unchanged",
    },
  ],
});
