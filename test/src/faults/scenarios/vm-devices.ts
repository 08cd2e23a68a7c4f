import { randomUUID } from "node:crypto";
import type { Duplex } from "node:stream";
import { Plan9Controller, type Plan9Guest } from "@uvm-shim/controller-plan9";
import { type LinuxScsiGuest, linuxGuestDisks, ScsiController } from "@uvm-shim/controller-scsi";
import type { DeviceWiring, ScsiWiring } from "@uvm-shim/controller-vm";
import { FakeGuest } from "@uvm-shim/controller-vm/testing";
import type { GuestScsiDevice, LinuxMappedDirectory, LinuxMappedVirtualDisk } from "@uvm-shim/hcs-schema";
import { posixPaths } from "@uvm-shim/lifecycle";
import { type ScriptedCalls, scriptedError } from "@uvm-shim/lifecycle/testing";
import { ordinaryGuestLayout } from "@uvm-shim/sandbox-lcow";

/** A guest that has disks and shares mounted. */
export class FakeVmGuest extends FakeGuest implements LinuxScsiGuest, Plan9Guest {
  readonly mounted = new Set<string>();
  readonly #script: ScriptedCalls;

  constructor(script: ScriptedCalls, stream: Duplex) {
    super(script, stream);
    this.#script = script;
    stream.once("close", () => this.lose(new Error("connection reset")));
  }

  mountDisk(disk: LinuxMappedVirtualDisk, signal?: AbortSignal): Promise<void> {
    return this.#request("mountDisk", disk.MountPath, signal, () => void this.mounted.add(disk.MountPath));
  }

  unmountDisk(disk: LinuxMappedVirtualDisk, signal?: AbortSignal): Promise<void> {
    return this.#request("unmountDisk", disk.MountPath, signal, () => this.#unmount(disk.MountPath));
  }

  ejectDisk(device: GuestScsiDevice, signal?: AbortSignal): Promise<void> {
    return this.#request("ejectDisk", `${device.Controller}:${device.Lun}`, signal, () => {});
  }

  mountShare(directory: LinuxMappedDirectory, signal?: AbortSignal): Promise<void> {
    return this.#request("mountShare", directory.MountPath, signal, () => void this.mounted.add(directory.MountPath));
  }

  unmountShare(directory: LinuxMappedDirectory, signal?: AbortSignal): Promise<void> {
    return this.#request("unmountShare", directory.MountPath, signal, () => this.#unmount(directory.MountPath));
  }

  #unmount(path: string): void {
    if (!this.mounted.delete(path)) throw scriptedError("NotFound", `${path} is not mounted`);
  }

  #request(name: string, detail: string, signal: AbortSignal | undefined, effect: () => void): Promise<void> {
    return this.#script.run(name, detail, signal, () => {
      if (!this.isOpen) throw Object.assign(scriptedError("Unavailable", "the bridge is closed"), { gone: true });
      effect();
    });
  }
}

export function scsiOf(wiring: ScsiWiring<FakeVmGuest>): ScsiController {
  return new ScsiController({
    ...wiring,
    guestDisks: linuxGuestDisks(ordinaryGuestLayout),
    paths: posixPaths,
    newId: randomUUID,
  });
}

export function plan9Of(wiring: DeviceWiring<FakeVmGuest>): Plan9Controller {
  return new Plan9Controller({ ...wiring, paths: posixPaths, newId: randomUUID });
}
