export { type DiskView, type MountView, ScsiController, type ScsiControllerOptions } from "./controller.ts";
export { type LinuxDiskLayout, type LinuxDiskMount, type LinuxScsiGuest, linuxGuestDisks } from "./lcow.ts";
export {
  type DiskOperation,
  type DiskState,
  type DiskStateKind,
  diskTable,
  type MountOperation,
  type MountState,
  type MountStateKind,
  mountTable,
} from "./lifecycle.ts";
export type {
  ComparedFields,
  DiskConfig,
  DiskSlot,
  GuestDisks,
  InvalidField,
  ReservedSlot,
  ScsiHost,
} from "./types.ts";
export { type WindowsDiskMount, type WindowsScsiGuest, windowsGuestDisks } from "./wcow.ts";
