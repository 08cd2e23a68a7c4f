/** What the SCSI controller asks of the host and of a Linux guest. */
import type { GuestScsiDevice, LinuxMappedVirtualDisk, ScsiAttachment, ScsiAttachmentType } from "@uvm-shim/hcs-schema";

export interface ScsiHost {
  attachDisk(controller: number, lun: number, attachment: ScsiAttachment, signal?: AbortSignal): Promise<void>;
  detachDisk(controller: number, lun: number, signal?: AbortSignal): Promise<void>;
}

export interface LinuxScsiGuest {
  mountDisk(disk: LinuxMappedVirtualDisk, signal?: AbortSignal): Promise<void>;
  unmountDisk(disk: LinuxMappedVirtualDisk, signal?: AbortSignal): Promise<void>;
  /** Lets the guest's kernel forget the device, before the host detaches it. */
  ejectDisk(device: GuestScsiDevice, signal?: AbortSignal): Promise<void>;
}

/** A disk as the host knows it. */
export interface DiskConfig {
  readonly hostPath: string;
  readonly readOnly: boolean;
  readonly type: ScsiAttachmentType;
  /** Name of the provider; for an ExtensibleVirtualDisk, and only there. */
  readonly extensibleVirtualDiskType?: string;
}

/** How the guest mounts one partition of a disk. */
export interface DiskMountConfig {
  /** 0: the whole disk. */
  readonly partition: number;
  readonly readOnly: boolean;
  /** Mount options, in any order. */
  readonly options?: readonly string[];
  readonly filesystem?: string;
  /** Makes the file system when the disk has none. */
  readonly ensureFilesystem?: boolean;
  readonly encrypted?: boolean;
  /** Gives the device itself at the guest path instead of a mount. */
  readonly blockDevice?: boolean;
}

/** Place of a disk: the number of its SCSI controller and its logical unit on that. */
export interface DiskSlot {
  readonly controller: number;
  readonly lun: number;
}
