import {
  type GuestScsiDevice,
  type LinuxMappedVirtualDisk,
  type LinuxVerityInfo,
  linuxGuestPaths,
  scsiControllerGuids,
} from "@uvm-shim/hcs-schema";
import type { DiskSlot, GuestDisks } from "./types.ts";

/** What is asked of a Linux guest. */
export interface LinuxScsiGuest {
  mountDisk(disk: LinuxMappedVirtualDisk, signal?: AbortSignal): Promise<void>;
  unmountDisk(disk: LinuxMappedVirtualDisk, signal?: AbortSignal): Promise<void>;
  ejectDisk(device: GuestScsiDevice, signal?: AbortSignal): Promise<void>;
}

/** How a Linux guest mounts one partition of a disk. */
export interface LinuxDiskMount {
  /** 0: the whole disk. */
  readonly partition: number;
  readonly readOnly: boolean;
  /** Mount options, in any order. */
  readonly options?: readonly string[];
  readonly filesystem?: string;
  /** Makes the file system when the disk has none. */
  readonly ensureFilesystem?: boolean;
  /** Puts dm-crypt with a key of the guest's own between disk and file system. */
  readonly encrypted?: boolean;
  /** Gives the device itself at the guest path instead of a mount. */
  readonly blockDevice?: boolean;
  /** Where the guest mounts it, instead of at a place of its own. */
  readonly guestPath?: string;
  /** The guest checks every block against this hash tree. */
  readonly verity?: LinuxVerityInfo;
}

// The guest protocol carries the partition in a wider field; no partition table has more than this.
const highestPartition = 0xffff;

export const linuxGuestDisks: GuestDisks<LinuxScsiGuest, LinuxDiskMount> = {
  controllers: scsiControllerGuids.length,
  partitionOf: ({ partition }) => partition,
  check({ partition, readOnly, options = [], guestPath, verity }, refuse) {
    if (!Number.isInteger(partition) || partition < 0 || partition > highestPartition) {
      refuse("partition", partition, `an integer from 0 (the whole disk) to ${highestPartition}`);
    }
    const strange = options.find((option) => option === "" || /[,\0]/.test(option));
    if (strange !== undefined) refuse("options", strange, "single mount options");
    if (guestPath !== undefined && !guestPath.startsWith("/")) refuse("guestPath", guestPath, "an absolute path");
    if (verity === undefined) return;
    if (!readOnly) refuse("verity", "given", "nothing for a mount that is not read-only");
    for (const name of ["RootDigest", "Salt"] as const) {
      if (!/^([0-9a-f]{2})+$/i.test(verity[name]))
        refuse(`verity.${name}`, verity[name], "hexadecimal digits in pairs");
    }
    if (!Number.isInteger(verity.Ext4SizeInBytes) || verity.Ext4SizeInBytes < 1) {
      refuse("verity.Ext4SizeInBytes", verity.Ext4SizeInBytes, "a positive integer");
    }
  },
  compared: (mount) => ({
    readOnly: mount.readOnly,
    encrypted: mount.encrypted ?? false,
    options: (mount.options ?? []).toSorted(),
    filesystem: mount.filesystem ?? "",
    ensureFilesystem: mount.ensureFilesystem ?? false,
    blockDevice: mount.blockDevice ?? false,
    guestPath: mount.guestPath ?? "",
    verity: mount.verity?.RootDigest.toLowerCase() ?? "",
  }),
  fixedPath: (mount) => mount.guestPath,
  guestPath,
  mount: (guest, slot, mount, signal) => guest.mountDisk(settings(slot, mount), signal),
  unmount: (guest, slot, mount, signal) => guest.unmountDisk(settings(slot, mount), signal),
  eject: (guest, { controller, lun }, signal) => guest.ejectDisk({ Controller: controller, Lun: lun }, signal),
};

function guestPath({ controller, lun }: DiskSlot, partition: number): string {
  return `${linuxGuestPaths.scsiMounts}/${controller}/${lun}/${partition}`;
}

function settings(slot: DiskSlot, mount: LinuxDiskMount): LinuxMappedVirtualDisk {
  return {
    MountPath: mount.guestPath ?? guestPath(slot, mount.partition),
    Controller: slot.controller,
    Lun: slot.lun,
    Partition: mount.partition,
    ReadOnly: mount.readOnly,
    Encrypted: mount.encrypted ?? false,
    Options: mount.options ?? [],
    BlockDev: mount.blockDevice ?? false,
    EnsureFilesystem: mount.ensureFilesystem ?? false,
    Filesystem: mount.filesystem ?? "",
    ...(mount.verity !== undefined && { VerityInfo: mount.verity }),
  };
}
