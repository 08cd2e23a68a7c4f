/** What the SCSI controller asks of the host, and what all kinds of guests have in common. */
import type { ScsiAttachment, ScsiAttachmentType } from "@uvm-shim/hcs-schema";
import type { ControllerError } from "@uvm-shim/lifecycle";

export interface ScsiHost {
  attachDisk(controller: number, lun: number, attachment: ScsiAttachment, signal?: AbortSignal): Promise<void>;
  detachDisk(controller: number, lun: number, signal?: AbortSignal): Promise<void>;
}

/** A disk as the host knows it. */
export interface DiskConfig {
  /** Absolute. An ExtensibleVirtualDisk may be named `evd://<provider>/<path>`, with a path of its provider's. */
  readonly hostPath: string;
  readonly readOnly: boolean;
  /** VirtualDisk: a VHD or VHDX; PassThru: a physical disk; ExtensibleVirtualDisk: whatever its provider serves. */
  readonly type: ScsiAttachmentType;
  /** Name of the provider; for an ExtensibleVirtualDisk whose path does not name it, and only there. */
  readonly extensibleVirtualDiskType?: string;
}

/** Place of a disk: the number of its SCSI controller and its logical unit on that. */
export interface DiskSlot {
  readonly controller: number;
  readonly lun: number;
}

/** A slot that the VM's document uses, such as that of the root file system. */
export interface ReservedSlot extends DiskSlot {
  /** What the document attaches there; absent where the slot is only to be kept free. */
  readonly attachment?: ScsiAttachment;
}

/** Values that two users of one thing must want alike. */
export type ComparedFields = Readonly<Record<string, unknown>>;

/** Makes the InvalidArgument that names a field, its value and what is expected; who calls it throws the error. */
export type InvalidField = (field: string, value: unknown, expected: string) => ControllerError;

/** How guests of one flavour take disks in: what can be asked of them, and the requests that do it. */
export interface GuestDisks<Guest, Mount> {
  /** How many SCSI controllers such a guest can tell apart. */
  readonly controllers: number;
  /** 0: the whole disk. */
  partitionOf(mount: Mount): number;
  check(mount: Mount, invalid: InvalidField): void;
  compared(mount: Mount): ComparedFields;
  /** The place in the guest that a mount asks for; undefined where any will do. */
  wantedPath(mount: Mount): string | undefined;
  /** Where the guest mounts what asks for no place: one of its own for each slot and partition. */
  guestPath(slot: DiskSlot, mount: Mount): string;
  mount(guest: Guest, slot: DiskSlot, mount: Mount, signal?: AbortSignal): Promise<void>;
  unmount(guest: Guest, slot: DiskSlot, mount: Mount, signal?: AbortSignal): Promise<void>;
  /** Lets the guest's kernel forget the device, before the host detaches it. Absent where guests need no warning. */
  eject?(guest: Guest, slot: DiskSlot, signal?: AbortSignal): Promise<void>;
}
