import { assignedDeviceFunction, assignedDeviceIdForm, assignedDeviceIdTypes } from "@uvm-shim/hcs-schema";
import type { Refuse } from "@uvm-shim/lifecycle";
import type { WindowsPlanOptions } from "./options.ts";

/** A device of the host, or a virtual function of one, to be assigned to the VM. */
export interface DevicePlan {
  readonly deviceInstancePath: string;
  readonly virtualFunction: number;
}

/** All devices of a container, and the program that finds what they have become in the VM. */
export interface DevicesPlan {
  readonly devices: readonly DevicePlan[];
  readonly deviceUtilPath: string | undefined;
}

interface DeviceEntry {
  readonly id: string;
  readonly idType: string;
}

/** Types that name what a container on the host itself could be given. */
const classTypes = ["vpci-class-guid", "class"];

/** The devices that a container needs of the VM. Refuses id types that cannot be assigned. */
export async function planDevices(
  entries: readonly DeviceEntry[],
  { deviceUtilPath, files, paths }: WindowsPlanOptions,
  refuse: Refuse,
): Promise<DevicesPlan> {
  if (entries.length === 0) return { devices: [], deviceUtilPath: undefined };
  const devices = entries.map((entry, index) => readDevice(entry, `config.json: windows.devices[${index}]`, refuse));
  if ((await files.kind(deviceUtilPath)) !== "file") {
    const why = "expected the program that finds assigned devices in the guest";
    throw refuse("FailedPrecondition", `config.json: windows.devices: ${deviceUtilPath} is missing, ${why}`);
  }
  return { devices, deviceUtilPath: paths.clean(deviceUtilPath) };
}

function readDevice({ id, idType }: DeviceEntry, where: string, refuse: Refuse): DevicePlan {
  if (!assignedDeviceIdTypes.some((type) => type === idType)) {
    const given = `${where}.idType of device ${id.slice(0, 200)} is ${JSON.stringify(idType.slice(0, 60))}`;
    const why = classTypes.includes(idType)
      ? ": classes of devices are of the host, and a virtual machine is only assigned single ones"
      : "";
    throw refuse("InvalidArgument", `${given}, expected one of ${assignedDeviceIdTypes.join(", ")}${why}`);
  }
  const device = assignedDeviceFunction(id);
  if (device !== undefined) return device;
  throw refuse("InvalidArgument", `${where}.id is ${JSON.stringify(id)}, expected ${assignedDeviceIdForm}`);
}
