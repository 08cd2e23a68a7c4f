import { type WindowsMappedVirtualDisk, windowsGuestPaths } from "@uvm-shim/hcs-schema";
import type { DiskSlot, GuestDisks } from "./types.ts";

/** What the SCSI controller needs of a Windows guest, which needs no eject before a disk is detached. */
export interface WindowsScsiGuest {
  mountDisk(disk: WindowsMappedVirtualDisk, signal?: AbortSignal): Promise<void>;
  /** Formats the disk as the scratch disk of a container and mounts it. */
  mountScratchDisk(disk: WindowsMappedVirtualDisk, signal?: AbortSignal): Promise<void>;
  unmountDisk(disk: WindowsMappedVirtualDisk, signal?: AbortSignal): Promise<void>;
}

/** How a Windows guest mounts a disk: always the whole disk; the attachment decides whether it is writable. */
export interface WindowsDiskMount {
  readonly readOnly: boolean;
  /** Formats the disk as a container's scratch disk first. */
  readonly formatScratch?: boolean;
}

const wholeDisk = 0;

export const windowsGuestDisks: GuestDisks<WindowsScsiGuest, WindowsDiskMount> = {
  // Requests to a Windows guest name a disk by its LUN only.
  controllers: 1,
  partitionOf: () => wholeDisk,
  check({ readOnly, formatScratch = false }, invalid) {
    if (formatScratch && readOnly) throw invalid("formatScratch", true, "false for a mount that is read-only");
  },
  compared: ({ readOnly, formatScratch = false }) => ({ readOnly, formatScratch }),
  wantedPath: () => undefined,
  guestPath,
  mount: (guest, slot, { formatScratch = false }, signal) =>
    formatScratch ? guest.mountScratchDisk(settings(slot), signal) : guest.mountDisk(settings(slot), signal),
  unmount: (guest, slot, _mount, signal) => guest.unmountDisk(settings(slot), signal),
};

function guestPath({ controller, lun }: DiskSlot): string {
  return `${windowsGuestPaths.scsiMounts}\\${controller}_${lun}_${wholeDisk}`;
}

function settings(slot: DiskSlot): WindowsMappedVirtualDisk {
  return { ContainerPath: guestPath(slot), Lun: slot.lun };
}
