/** What the SCSI controller asks of the host and of a Linux guest. */
import type { GuestScsiDevice, LinuxMappedVirtualDisk, ScsiAttachment } from "@uvm-shim/hcs-schema";

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
