import {
  type GuestScsiDevice,
  type LinuxMappedVirtualDisk,
  type LinuxVerityInfo,
  scsiControllerGuids,
} from "@uvm-shim/hcs-schema";
import type { DiskSlot, GuestDisks, InvalidField } from "./types.ts";

/** What the SCSI controller needs of a Linux guest. */
export interface LinuxScsiGuest {
  mountDisk(disk: LinuxMappedVirtualDisk, signal?: AbortSignal): Promise<void>;
  unmountDisk(disk: LinuxMappedVirtualDisk, signal?: AbortSignal): Promise<void>;
  ejectDisk(device: GuestScsiDevice, signal?: AbortSignal): Promise<void>;
}

/** Default guest paths of disks: a separate one for each slot and partition. */
export interface LinuxDiskLayout {
  diskPath(slot: DiskSlot, mount: Pick<LinuxDiskMount, "partition" | "readOnly" | "blockDevice">): string;
}

/** How a Linux guest mounts one partition of a disk. */
export interface LinuxDiskMount {
  /** 0: the whole disk. */
  readonly partition: number;
  readonly readOnly: boolean;
  /** Mount options, in any order. */
  readonly options?: readonly string[];
  readonly filesystem?: string;
  /** Creates the file system if the disk has none. */
  readonly ensureFilesystem?: boolean;
  /** Encrypts the disk by dm-crypt with a key that only the guest knows. */
  readonly encrypted?: boolean;
  /** Exposes the device node at the guest path instead of a mount. */
  readonly blockDevice?: boolean;
  /** Where the guest mounts it, instead of at the default path. */
  readonly guestPath?: string;
  /** The same, unless it is mounted already: then it stays where it is. */
  readonly preferredGuestPath?: string;
  /** Hash tree against which the guest verifies every block (dm-verity). */
  readonly verity?: LinuxVerityInfo;
}

// The guest protocol carries the partition in a wider field; no partition table has more than this.
const highestPartition = 0xffff;

/**
 * The disk requests of Linux guests, which mount each partition at a path of the layout, and eject a disk before it
 * goes.
 */
export function linuxGuestDisks(layout: LinuxDiskLayout): GuestDisks<LinuxScsiGuest, LinuxDiskMount> {
  const wantedPath = ({ guestPath, preferredGuestPath }: LinuxDiskMount) => guestPath ?? preferredGuestPath;
  const settings = (slot: DiskSlot, mount: LinuxDiskMount): LinuxMappedVirtualDisk => ({
    MountPath: wantedPath(mount) ?? layout.diskPath(slot, mount),
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
  });
  return {
    controllers: scsiControllerGuids.length,
    partitionOf: ({ partition }) => partition,
    check: checkMount,
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
    wantedPath,
    guestPath: (slot, mount) => layout.diskPath(slot, mount),
    mount: (guest, slot, mount, signal) => guest.mountDisk(settings(slot, mount), signal),
    unmount: (guest, slot, mount, signal) => guest.unmountDisk(settings(slot, mount), signal),
    eject: (guest, { controller, lun }, signal) => guest.ejectDisk({ Controller: controller, Lun: lun }, signal),
  };
}

function checkMount(mount: LinuxDiskMount, invalid: InvalidField): void {
  const { partition, readOnly, options = [], guestPath, preferredGuestPath, verity } = mount;
  if (!Number.isInteger(partition) || partition < 0 || partition > highestPartition) {
    throw invalid("partition", partition, `an integer from 0 (the whole disk) to ${highestPartition}`);
  }
  const strange = options.find((option) => option === "" || /[,\0]/.test(option));
  if (strange !== undefined) throw invalid("options", strange, "mount options without commas, one per entry");
  for (const [name, path] of Object.entries({ guestPath, preferredGuestPath })) {
    if (path !== undefined && !path.startsWith("/")) throw invalid(name, path, "an absolute path");
  }
  if (verity === undefined) return;
  if (!readOnly) throw invalid("verity", "given", "none for a writable mount");
  for (const name of ["RootDigest", "Salt"] as const) {
    if (!/^([0-9a-f]{2})+$/i.test(verity[name]))
      throw invalid(`verity.${name}`, verity[name], "hexadecimal digits in pairs");
  }
  if (!Number.isInteger(verity.Ext4SizeInBytes) || verity.Ext4SizeInBytes < 1) {
    throw invalid("verity.Ext4SizeInBytes", verity.Ext4SizeInBytes, "a positive integer");
  }
}
