export { type DiskView, ScsiController, type ScsiControllerOptions } from "./controller.ts";
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
export type { DiskConfig, DiskMountConfig, DiskSlot, LinuxScsiGuest, ScsiHost } from "./types.ts";
