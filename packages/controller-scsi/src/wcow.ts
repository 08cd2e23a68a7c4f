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
  /** Only attaches it: the guest sees a disk that something else uses, such as its file system of block CIMs. */
  readonly attachOnly?: boolean;
}

const wholeDisk = 0;

/** The disk requests of Windows guests, which know disks by LUN alone. */
export const windowsGuestDisks: GuestDisks<WindowsScsiGuest, WindowsDiskMount> = {
  // Requests to a Windows guest name a disk by its LUN only.
  controllers: 1,
  partitionOf: () => wholeDisk,
  check({ readOnly, formatScratch = false, attachOnly = false }, invalid) {
    if (formatScratch && attachOnly) throw invalid("formatScratch", true, "false for a disk that is only attached");
    if (formatScratch && readOnly) throw invalid("formatScratch", true, "false for a mount that is read-only");
  },
  compared: ({ readOnly, formatScratch = false, attachOnly = false }) => ({ readOnly, formatScratch, attachOnly }),
  wantedPath: () => undefined,
  guestPath,
  async mount(guest, slot, { formatScratch = false, attachOnly = false }, signal) {
    if (attachOnly) return;
    if (formatScratch) await guest.mountScratchDisk(settings(slot), signal);
    else await guest.mountDisk(settings(slot), signal);
  },
  async unmount(guest, slot, { attachOnly = false }, signal) {
    if (!attachOnly) await guest.unmountDisk(settings(slot), signal);
  },
};

function guestPath({ controller, lun }: DiskSlot): string {
  return `${windowsGuestPaths.scsiMounts}\\${controller}_${lun}_${wholeDisk}`;
}

function settings(slot: DiskSlot): WindowsMappedVirtualDisk {
  return { ContainerPath: guestPath(slot), Lun: slot.lun };
}
