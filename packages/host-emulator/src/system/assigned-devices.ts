import type { VirtualPciDevice } from "@uvm-shim/hcs-schema";
import type { GuestMachine } from "../guest-machine.ts";
import { HcsFailure } from "../hcs-failure.ts";
import type { AssignableDevices } from "./assignable-devices.ts";

/** Assigned devices of one system, by VMBus GUID. */
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
      throw new HcsFailure("ERROR_ALREADY_EXISTS", `VMBus GUID ${guid} already has an assigned device`);
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
      throw new HcsFailure("ERROR_NOT_FOUND", `VMBus GUID ${guid} has no assigned device`);
    }
    await machine.unassignDevice(guid);
    this.#assigned.delete(guid);
    release();
  }

  /** After the machine's end, which has already detached the devices. */
  release(): void {
    for (const release of this.#assigned.values()) release();
    this.#assigned.clear();
  }
}
