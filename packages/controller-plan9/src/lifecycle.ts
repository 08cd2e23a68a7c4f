import { defineTable, type StateData } from "@uvm-shim/lifecycle";

/** A share under its name. Invalid: adding it failed, so it is unknown whether the VM has it. */
export type ShareStateKind = "Reserved" | "Added" | "Invalid" | "Removed";
/** The state of one share; it has no data of its own. */
export type ShareState = StateData<ShareStateKind>;
/** What changes a share's state. */
export type ShareOperation = "add" | "remove";

/** The life of one share, which is never added twice. */
export const shareTable = defineTable<ShareStateKind, ShareOperation>({
  subject: "Plan9 share",
  initial: "Reserved",
  states: ["Reserved", "Added", "Invalid", "Removed"],
  transitions: [
    { kind: "operation", name: "add", from: ["Reserved"], success: "Added", failure: "Invalid" },
    {
      kind: "operation",
      name: "remove",
      from: ["Added", "Invalid", "Reserved"],
      success: "Removed",
      failure: "unchanged",
    },
  ],
});

/** The share's mount in the guest. Invalid: mounting failed, so it is unknown whether the guest has it. */
export type MountStateKind = "Reserved" | "Mounted" | "Invalid" | "Unmounted";
/** The state of one mount in the guest; it has no data of its own. */
export type MountState = StateData<MountStateKind>;
/** What changes a mount's state. */
export type MountOperation = "mount" | "unmount";

/** The life of one mount in the guest. */
export const mountTable = defineTable<MountStateKind, MountOperation>({
  subject: "Plan9 mount",
  initial: "Reserved",
  states: ["Reserved", "Mounted", "Invalid", "Unmounted"],
  transitions: [
    { kind: "operation", name: "mount", from: ["Reserved"], success: "Mounted", failure: "Invalid" },
    {
      kind: "operation",
      name: "unmount",
      from: ["Mounted", "Invalid", "Reserved"],
      success: "Unmounted",
      failure: "unchanged",
    },
  ],
});
