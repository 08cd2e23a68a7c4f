/** What the SCSI controller needs of the host, and of guests of both flavours. */
import type { ScsiAttachment, ScsiAttachmentType } from "@uvm-shim/hcs-schema";
import type { ControllerError } from "@uvm-shim/lifecycle";

/**
 * The host's side of disks, by number of the SCSI controller and LUN. Both calls reject with an error whose `code` is
 * one of lifecycle's `errorCodes`; `gone`, or NotFound, says that there is nothing to detach.
 */
export interface ScsiHost {
  attachDisk(controller: number, lun: number, attachment: ScsiAttachment, signal?: AbortSignal): Promise<void>;
  detachDisk(controller: number, lun: number, signal?: AbortSignal): Promise<void>;
}

/** A disk as the host knows it. */
export interface DiskConfig {
  /** An absolute path. For an ExtensibleVirtualDisk also `evd://<provider>/<path>`, with a path of the provider. */
  readonly hostPath: string;
  readonly readOnly: boolean;
  /** VirtualDisk: a VHD or VHDX; PassThru: a physical disk; ExtensibleVirtualDisk: whatever its provider serves. */
  readonly type: ScsiAttachmentType;
  /** Name of the provider; only for an ExtensibleVirtualDisk whose path does not name it. */
  readonly extensibleVirtualDiskType?: string;
}

/** Where a disk is attached: number of the SCSI controller and LUN. */
export interface DiskSlot {
  readonly controller: number;
  readonly lun: number;
}

/** A slot that the VM's document uses, such as the one of the root file system. */
export interface ReservedSlot extends DiskSlot {
  /** The disk that the document attaches there; absent for a slot that must stay free. */
  readonly attachment?: ScsiAttachment;
}

/** Settings that all users of one disk or mount must have in common. */
export type ComparedFields = Readonly<Record<string, unknown>>;

/** Makes the InvalidArgument that names a field, its value and what is expected; who calls it throws the error. */
export type InvalidField = (field: string, value: unknown, expected: string) => ControllerError;

/** Disk requests of guests of one flavour. */
export interface GuestDisks<Guest, Mount> {
  /** How many SCSI controllers such a guest can tell apart. */
  readonly controllers: number;
  /** 0: the whole disk. */
  partitionOf(mount: Mount): number;
  check(mount: Mount, invalid: InvalidField): void;
  compared(mount: Mount): ComparedFields;
  /** The guest path that a mount asks for; undefined where any will do. */
  wantedPath(mount: Mount): string | undefined;
  /** The guest path of a mount that asks for none: a separate one for each slot and partition. */
  guestPath(slot: DiskSlot, mount: Mount): string;
  mount(guest: Guest, slot: DiskSlot, mount: Mount, signal?: AbortSignal): Promise<void>;
  unmount(guest: Guest, slot: DiskSlot, mount: Mount, signal?: AbortSignal): Promise<void>;
  /** Removes the device from the guest's kernel before the host detaches it. Absent where guests do not need that. */
  eject?(guest: Guest, slot: DiskSlot, signal?: AbortSignal): Promise<void>;
}
