import {
  checkLinuxGuestRequest,
  checkScsiAttachment,
  type GuestScsiDevice,
  type LinuxMappedVirtualDisk,
  type ScsiAttachment,
} from "@uvm-shim/hcs-schema";
import { ScriptedCalls, scriptedError } from "@uvm-shim/lifecycle/testing";
import type { LinuxScsiGuest, ScsiHost } from "../types.ts";

/** A VM's SCSI buses and its guest's mounts, as strict as real ones: what is not there cannot be used or removed. */
export class FakeScsiVm implements ScsiHost, LinuxScsiGuest {
  /** Host path by `controller:lun`. */
  readonly attached = new Map<string, string>();
  /** `controller:lun` of what the guest has ejected but the host still has attached. */
  readonly ejected = new Set<string>();
  /** `controller:lun` by mount path. */
  readonly mounted = new Map<string, string>();
  readonly script: ScriptedCalls;

  constructor(script: ScriptedCalls = new ScriptedCalls()) {
    this.script = script;
  }

  attachDisk(controller: number, lun: number, attachment: ScsiAttachment, signal?: AbortSignal): Promise<void> {
    const place = `${controller}:${lun}`;
    return this.script.run("attachDisk", `${place} ${attachment.Path}`, signal, () => {
      checkScsiAttachment(attachment);
      if (this.attached.has(place)) throw scriptedError("AlreadyExists", `${place} is occupied`);
      if ([...this.attached.values()].includes(attachment.Path)) {
        throw scriptedError("FailedPrecondition", `${attachment.Path} is in use`);
      }
      this.attached.set(place, attachment.Path);
    });
  }

  detachDisk(controller: number, lun: number, signal?: AbortSignal): Promise<void> {
    const place = `${controller}:${lun}`;
    return this.script.run("detachDisk", place, signal, () => {
      if (!this.attached.has(place)) throw scriptedError("NotFound", `${place} is empty`);
      this.#refuseMounted(place);
      this.attached.delete(place);
      this.ejected.delete(place);
    });
  }

  mountDisk(disk: LinuxMappedVirtualDisk, signal?: AbortSignal): Promise<void> {
    const place = `${disk.Controller}:${disk.Lun}`;
    return this.script.run("mountDisk", disk.MountPath, signal, () => {
      checkLinuxGuestRequest({ ResourceType: "MappedVirtualDisk", RequestType: "Add", Settings: disk });
      if (!this.attached.has(place) || this.ejected.has(place)) throw scriptedError("NotFound", `no device ${place}`);
      if (this.mounted.has(disk.MountPath)) throw scriptedError("AlreadyExists", `${disk.MountPath} is mounted`);
      this.mounted.set(disk.MountPath, place);
    });
  }

  unmountDisk(disk: LinuxMappedVirtualDisk, signal?: AbortSignal): Promise<void> {
    return this.script.run("unmountDisk", disk.MountPath, signal, () => {
      if (!this.mounted.delete(disk.MountPath)) throw scriptedError("NotFound", `${disk.MountPath} is not mounted`);
    });
  }

  ejectDisk(device: GuestScsiDevice, signal?: AbortSignal): Promise<void> {
    const place = `${device.Controller}:${device.Lun}`;
    return this.script.run("ejectDisk", place, signal, () => {
      checkLinuxGuestRequest({ ResourceType: "SCSIDevice", RequestType: "Remove", Settings: device });
      if (!this.attached.has(place) || this.ejected.has(place)) throw scriptedError("NotFound", `no device ${place}`);
      this.#refuseMounted(place);
      this.ejected.add(place);
    });
  }

  #refuseMounted(place: string): void {
    if ([...this.mounted.values()].includes(place)) throw scriptedError("FailedPrecondition", `${place} is mounted`);
  }
}
