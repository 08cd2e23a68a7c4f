import { defineTable, type StateData } from "@uvm-shim/lifecycle";

/**
 * An assignment under its VMBus GUID. AssignedInvalid: something about it failed, so that the host may have assigned
 * the device, and what the guest has of it is not known.
 */
export type AssignmentStateKind = "Reserved" | "Assigned" | "Ready" | "AssignedInvalid" | "Removed";
export type AssignmentState = StateData<AssignmentStateKind>;
export type AssignmentOperation = "assign" | "wait" | "remove";

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
