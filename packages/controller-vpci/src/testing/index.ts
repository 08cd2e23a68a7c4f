import {
  checkGuid,
  checkLinuxGuestRequest,
  checkVirtualPciDevice,
  highestVirtualFunction,
  type LinuxVpciDevice,
  SchemaError,
  type VirtualPciDevice,
} from "@uvm-shim/hcs-schema";
import { ScriptedCalls, scriptedError } from "@uvm-shim/lifecycle/testing";
import { VpciController, type VpciControllerOptions } from "../controller.ts";
import type { LinuxVpciGuest, VpciHost } from "../types.ts";

/** Fake assigned devices, as strict as real ones: each VMBus GUID and each function is in use only once. */
export class FakeVpciVm implements VpciHost, LinuxVpciGuest {
  /** By VMBus GUID. */
  readonly assigned = new Map<string, VirtualPciDevice>();
  readonly script: ScriptedCalls;
  readonly #declared: ReadonlyMap<string, number> | undefined;
  readonly #usedGuids = new Set<string>();

  /** `declared`: number of functions by device path; absent: every device exists with all functions. */
  constructor(script: ScriptedCalls = new ScriptedCalls(), declared?: ReadonlyMap<string, number>) {
    this.script = script;
    this.#declared = declared;
  }

  assignDevice(vmBusGuid: string, device: VirtualPciDevice, signal?: AbortSignal): Promise<void> {
    return this.script.run("assignDevice", vmBusGuid, signal, () => {
      this.#check(vmBusGuid, device);
      if (this.#usedGuids.has(vmBusGuid)) throw scriptedError("AlreadyExists", `${vmBusGuid} was used before`);
      const functions = new Set([...this.assigned.values()].flatMap(functionNames));
      const taken = functionNames(device).find((name) => functions.has(name));
      if (taken !== undefined) throw scriptedError("FailedPrecondition", `${taken} is assigned already`);
      this.#usedGuids.add(vmBusGuid);
      this.assigned.set(vmBusGuid, device);
    });
  }

  #check(vmBusGuid: string, device: VirtualPciDevice): void {
    try {
      checkGuid(vmBusGuid);
      checkVirtualPciDevice(device);
    } catch (error) {
      throw error instanceof SchemaError ? scriptedError("InvalidArgument", error.message) : error;
    }
    for (const { DeviceInstancePath: path, VirtualFunction = 0 } of device.Functions) {
      const functions = this.#functionsOf(path);
      if (functions === undefined) throw scriptedError("NotFound", `no device ${path}`);
      if (VirtualFunction >= functions) throw scriptedError("InvalidArgument", `${path} has no ${VirtualFunction}`);
    }
  }

  #functionsOf(path: string): number | undefined {
    if (this.#declared === undefined) return highestVirtualFunction + 1;
    return [...this.#declared].find(([declared]) => declared.toLowerCase() === path.toLowerCase())?.[1];
  }

  unassignDevice(vmBusGuid: string, signal?: AbortSignal): Promise<void> {
    return this.script.run("unassignDevice", vmBusGuid, signal, () => {
      if (!this.assigned.delete(vmBusGuid)) throw scriptedError("NotFound", `nothing is assigned as ${vmBusGuid}`);
    });
  }

  waitForDevice(device: LinuxVpciDevice, signal?: AbortSignal): Promise<void> {
    return this.script.run("waitForDevice", device.VMBusGUID, signal, () => {
      checkLinuxGuestRequest({ ResourceType: "VPCIDevice", RequestType: "Add", Settings: device });
      if (!this.assigned.has(device.VMBusGUID)) throw scriptedError("NotFound", `no device ${device.VMBusGUID} came`);
    });
  }
}

function functionNames({ Functions }: VirtualPciDevice): readonly string[] {
  return Functions.map(({ DeviceInstancePath: path, VirtualFunction = 0 }) => {
    return `${path.toLowerCase()}/${VirtualFunction}`;
  });
}

/** The GUID that a controller of {@link vpciOn} gives to its assignment of this number, from 1. */
export function testGuid(number: number): string {
  return `00000000-0000-4000-8000-${String(number).padStart(12, "0")}`;
}

/** A controller on a fake VM, with reservation ids r1, r2, … and the GUIDs of {@link testGuid}. */
export function vpciOn(script?: ScriptedCalls, options: Partial<VpciControllerOptions> = {}) {
  const vm = new FakeVpciVm(script);
  let reservations = 0;
  let guids = 0;
  const vpci = new VpciController({
    id: "vm-1",
    host: vm,
    guest: () => vm,
    newId: () => {
      reservations += 1;
      return `r${reservations}`;
    },
    newGuid: () => {
      guids += 1;
      return testGuid(guids);
    },
    ...options,
  });
  return { vm, vpci };
}
