import type { VirtualPciDevice } from "@uvm-shim/hcs-schema";
import type { GuestMachine } from "../guest-machine.ts";
import { HcsFailure } from "../hcs-failure.ts";
import type { AssignableDevices } from "./assignable-devices.ts";

/** The devices that one system has, by the GUIDs of their VMBus channels. */
export class AssignedDevices {
  readonly #assignable: AssignableDevices;
  readonly #holder: string;
  readonly #assigned = new Map<string, () => void>();

  constructor(assignable: AssignableDevices, holder: string) {
    this.#assignable = assignable;
    this.#holder = holder;
  }

  /** `field` names the settings in errors. */
  async add(machine: GuestMachine, vmBusGuid: string, device: VirtualPciDevice, field: string): Promise<void> {
    const guid = vmBusGuid.toLowerCase();
    if (this.#assigned.has(guid)) {
      throw new HcsFailure("ERROR_ALREADY_EXISTS", `a device is assigned under the VMBus GUID ${guid}`);
    }
    const { assigned, release } = this.#assignable.claim(device, this.#holder, field);
    try {
      await machine.assignDevice(guid, assigned);
    } catch (error) {
      release();
      throw error;
    }
    this.#assigned.set(guid, release);
  }

  async remove(machine: GuestMachine, vmBusGuid: string): Promise<void> {
    const guid = vmBusGuid.toLowerCase();
    const release = this.#assigned.get(guid);
    if (release === undefined) {
      throw new HcsFailure("ERROR_NOT_FOUND", `no device is assigned under the VMBus GUID ${guid}`);
    }
    await machine.unassignDevice(guid);
    this.#assigned.delete(guid);
    release();
  }

  /** After the machine's end, with which it lost them. */
  release(): void {
    for (const release of this.#assigned.values()) release();
    this.#assigned.clear();
  }
}
