import { defineTable, type StateData } from "@uvm-shim/lifecycle";

/**
 * A disk in its slot. Invalid: an attach failed, so it is unknown whether the VM has the disk. Ejected: the guest has
 * removed the device, but the VM still has the disk. A detached disk can be reserved again. Event booted: the VM's
 * document attaches the disk.
 */
export type DiskStateKind = "Reserved" | "Attached" | "Invalid" | "Ejected" | "Detached";
/** The state of one disk; it has no data of its own. */
export type DiskState = StateData<DiskStateKind>;
/** What changes a disk's state. `booted` happens to the disks of the VM's document. */
export type DiskOperation = "booted" | "attach" | "eject" | "detach" | "reserve";

/** The life of one disk, which may be attached again once it has been detached. */
export const diskTable = defineTable<DiskStateKind, DiskOperation>({
  subject: "disk",
  initial: "Reserved",
  states: ["Reserved", "Attached", "Invalid", "Ejected", "Detached"],
  transitions: [
    { kind: "event", name: "booted", from: ["Reserved"], to: "Attached" },
    { kind: "operation", name: "attach", from: ["Reserved"], success: "Attached", failure: "Invalid" },
    { kind: "operation", name: "eject", from: ["Attached"], success: "Ejected", failure: "unchanged" },
    {
      kind: "operation",
      name: "detach",
      from: ["Ejected", "Invalid", "Reserved"],
      success: "Detached",
      failure: "unchanged",
    },
    { kind: "operation", name: "reserve", from: ["Detached"], success: "Reserved", failure: "unchanged" },
  ],
});

/** A partition's mount in the guest. Invalid: a mount failed, so it is unknown whether the guest has it. */
export type MountState =
  | StateData<"Reserved" | "Invalid" | "Unmounted">
  | { readonly kind: "Mounted"; readonly guestPath: string };
/** The name of a state of `mountTable`. */
export type MountStateKind = MountState["kind"];
/** What changes a mount's state. */
export type MountOperation = "mount" | "unmount" | "reserve";

/** The life of the mount of one partition. */
export const mountTable = defineTable<MountStateKind, MountOperation>({
  subject: "disk mount",
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
    { kind: "operation", name: "reserve", from: ["Unmounted"], success: "Reserved", failure: "unchanged" },
  ],
});
