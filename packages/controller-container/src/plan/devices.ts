import {
  assignedDeviceFunction,
  assignedDeviceIdForm,
  assignedDeviceIdTypes,
  type OciWindowsDevice,
} from "@uvm-shim/hcs-schema";
import type { Refuse } from "@uvm-shim/lifecycle";
import type { DeviceConfig } from "../types.ts";

/** One entry of `windows.devices`: a device of the host to be assigned to the VM. */
export interface DevicePlan {
  readonly entry: OciWindowsDevice;
  readonly device: DeviceConfig;
}

/** The devices that a container needs of the VM. InvalidArgument for an id type that is none. */
export function planDevices(
  entries: readonly OciWindowsDevice[],
  propagateNumaAffinity: boolean,
  refuse: Refuse,
): readonly DevicePlan[] {
  const plans = entries.map((entry, index): DevicePlan => {
    const device = readDevice(entry, `config.json: windows.devices[${index}]`, refuse);
    return { entry, device: { ...device, ...(propagateNumaAffinity && { propagateNumaAffinity }) } };
  });
  const seen = new Map<string, number>();
  for (const [index, { device }] of plans.entries()) {
    const name = nameOf(device);
    // Windows compares instance paths without regard to case.
    const first = seen.get(name.toLowerCase());
    if (first !== undefined) {
      const message = `config.json: windows.devices[${index}].id: ${name} is listed twice, first as entry ${first}`;
      throw refuse("InvalidArgument", message);
    }
    seen.set(name.toLowerCase(), index);
  }
  return plans;
}

function readDevice(entry: OciWindowsDevice, where: string, refuse: Refuse): DeviceConfig {
  if (!assignedDeviceIdTypes.some((type) => type === entry.idType)) {
    const accepted = assignedDeviceIdTypes.join(", ");
    throw refuse(
      "InvalidArgument",
      `${where}.idType of device ${entry.id} is ${JSON.stringify(entry.idType)}, expected one of ${accepted}`,
    );
  }
  const device = assignedDeviceFunction(entry.id);
  if (device !== undefined) return device;
  throw refuse("InvalidArgument", `${where}.id is ${JSON.stringify(entry.id)}, expected ${assignedDeviceIdForm}`);
}

function nameOf({ deviceInstancePath, virtualFunction }: DeviceConfig): string {
  return `${deviceInstancePath}/${virtualFunction}`;
}
