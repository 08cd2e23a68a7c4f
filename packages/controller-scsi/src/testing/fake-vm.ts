import { FakeRunningVm } from "@uvm-shim/hcs-bindings/testing";
import {
  checkLinuxGuestRequest,
  checkWindowsMappedVirtualDisk,
  type GuestScsiDevice,
  type LinuxMappedVirtualDisk,
  resourcePaths,
  type ScsiAttachment,
  scsiControllerGuids,
  type WindowsMappedVirtualDisk,
} from "@uvm-shim/hcs-schema";
import { ScriptedCalls, scriptedError } from "@uvm-shim/lifecycle/testing";
import type { LinuxScsiGuest } from "../lcow.ts";
import type { ScsiHost } from "../types.ts";
import type { WindowsScsiGuest } from "../wcow.ts";

/** Fake SCSI controllers and mounts of a VM, as strict as real ones: missing disks and mounts cannot be used. */
class FakeScsiHost implements ScsiHost {
  /** `controller:lun` by mount path. */
  readonly mounted = new Map<string, string>();
  /** `controller:lun` of disks that the guest has ejected and the host has not detached. */
  readonly ejected = new Set<string>();
  readonly script: ScriptedCalls;
  readonly #vm = new FakeRunningVm("vm-1");

  constructor(script: ScriptedCalls = new ScriptedCalls()) {
    this.script = script;
  }

  /** Host path by `controller:lun`. */
  get attached(): ReadonlyMap<string, string> {
    return new Map([...this.#vm.system.disks].map(([place, { attachment }]) => [place, attachment.Path]));
  }

  /** Everything that is not released. */
  leftovers(): readonly string[] {
    return [
      ...[...this.attached].map(([place, path]) => `disk ${path} at ${place}`),
      ...[...this.mounted].map(([path, place]) => `mount of ${place} at ${path}`),
      ...[...this.ejected].map((place) => `ejected ${place}`),
    ];
  }

  attachDisk(controller: number, lun: number, attachment: ScsiAttachment, signal?: AbortSignal): Promise<void> {
    const place = `${controller}:${lun}`;
    return this.script.run("attachDisk", `${place} ${attachment.Path}`, signal, () => {
      // Real hosts allow several readers of one disk, but this controller must not attach it twice.
      if ([...this.attached.values()].includes(attachment.Path)) {
        throw scriptedError("FailedPrecondition", `${attachment.Path} is in use`);
      }
      this.#vm.modify({ ResourcePath: pathOf(controller, lun), RequestType: "Add", Settings: attachment });
    });
  }

  detachDisk(controller: number, lun: number, signal?: AbortSignal): Promise<void> {
    const place = `${controller}:${lun}`;
    return this.script.run("detachDisk", place, signal, () => {
      this.refuseMounted(place);
      this.#vm.modify({ ResourcePath: pathOf(controller, lun), RequestType: "Remove" });
      this.ejected.delete(place);
    });
  }

  protected requireDevice(place: string): void {
    if (!this.#vm.system.disks.has(place) || this.ejected.has(place)) {
      throw scriptedError("NotFound", `no device ${place}`);
    }
  }

  protected refuseMounted(place: string): void {
    if ([...this.mounted.values()].includes(place)) throw scriptedError("FailedPrecondition", `${place} is mounted`);
  }

  protected addMount(path: string, place: string): void {
    this.requireDevice(place);
    if (this.mounted.has(path)) throw scriptedError("AlreadyExists", `${path} is mounted`);
    this.mounted.set(path, place);
  }

  protected removeMount(path: string): void {
    if (!this.mounted.delete(path)) throw scriptedError("NotFound", `${path} is not mounted`);
  }
}

/** A host and a Linux guest that remember what is attached and mounted, and refuse what real ones refuse. */
export class FakeScsiVm extends FakeScsiHost implements LinuxScsiGuest {
  mountDisk(disk: LinuxMappedVirtualDisk, signal?: AbortSignal): Promise<void> {
    return this.script.run("mountDisk", disk.MountPath, signal, () => {
      checkLinuxGuestRequest({ ResourceType: "MappedVirtualDisk", RequestType: "Add", Settings: disk });
      this.addMount(disk.MountPath, `${disk.Controller}:${disk.Lun}`);
    });
  }

  unmountDisk(disk: LinuxMappedVirtualDisk, signal?: AbortSignal): Promise<void> {
    return this.script.run("unmountDisk", disk.MountPath, signal, () => this.removeMount(disk.MountPath));
  }

  ejectDisk(device: GuestScsiDevice, signal?: AbortSignal): Promise<void> {
    const place = `${device.Controller}:${device.Lun}`;
    return this.script.run("ejectDisk", place, signal, () => {
      checkLinuxGuestRequest({ ResourceType: "SCSIDevice", RequestType: "Remove", Settings: device });
      this.requireDevice(place);
      this.refuseMounted(place);
      this.ejected.add(place);
    });
  }
}

/** A Windows guest sees only disks of controller 0, and formats scratch disks. */
export class FakeWindowsScsiVm extends FakeScsiHost implements WindowsScsiGuest {
  /** `controller:lun` of formatted disks. */
  readonly formatted: string[] = [];

  mountDisk(disk: WindowsMappedVirtualDisk, signal?: AbortSignal): Promise<void> {
    return this.script.run("mountDisk", disk.ContainerPath, signal, () => this.#mount(disk));
  }

  mountScratchDisk(disk: WindowsMappedVirtualDisk, signal?: AbortSignal): Promise<void> {
    return this.script.run("mountScratchDisk", disk.ContainerPath, signal, () => {
      this.#mount(disk);
      this.formatted.push(`0:${disk.Lun}`);
    });
  }

  unmountDisk(disk: WindowsMappedVirtualDisk, signal?: AbortSignal): Promise<void> {
    return this.script.run("unmountDisk", disk.ContainerPath, signal, () => this.removeMount(disk.ContainerPath));
  }

  #mount(disk: WindowsMappedVirtualDisk): void {
    checkWindowsMappedVirtualDisk(disk);
    this.addMount(disk.ContainerPath, `0:${disk.Lun}`);
  }
}

function pathOf(controller: number, lun: number): string {
  return resourcePaths.scsi(scsiControllerGuids[controller] ?? `${controller}`, lun);
}
