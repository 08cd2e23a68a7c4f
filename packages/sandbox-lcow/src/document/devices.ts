import {
  type AssignedDeviceFunction,
  assignedDeviceFunction,
  assignedDeviceIdForm,
  assignedDeviceIdTypes,
  type Devices,
  type ScsiAttachment,
  scsiControllerGuids,
  type VirtualPciDevice,
} from "@uvm-shim/hcs-schema";
import { refuse } from "@uvm-shim/sandbox-common";
import { keyOf } from "../annotations/annotations.ts";
import type { Context } from "../context.ts";

/** All four controllers, since every layer of every container is a disk. The root file system is the first disk. */
export function scsiControllers(rootFsVhd: string | undefined): NonNullable<Devices["Scsi"]> {
  const controllers = Object.fromEntries(scsiControllerGuids.map((guid) => [guid, {}]));
  if (rootFsVhd === undefined) return controllers;
  const rootFs: ScsiAttachment = { Type: "VirtualDisk", Path: rootFsVhd, ReadOnly: true };
  return { ...controllers, [scsiControllerGuids[0]]: { Attachments: { "0": rootFs } } };
}

/** What decides which devices a VM has from the start. */
export interface AssignedDevices {
  readonly specification: unknown;
  readonly isolated: boolean;
  readonly propagateNumaAffinity: boolean;
}

/** Devices of the host that are assigned to the VM from the start: `devices` of the sandbox's config.json. */
export function virtualPci(
  { host, values, warn }: Context,
  { specification, isolated, propagateNumaAffinity }: AssignedDevices,
): Pick<Devices, "VirtualPci"> {
  const { devices } = (specification ?? {}) as { readonly devices?: unknown };
  if (devices === undefined || devices === null) return {};
  if (!Array.isArray(devices)) return refuse("devices", devices, "a list");
  if (devices.length === 0) return {};
  if (isolated) refuse("devices", devices, "none in a confidential VM");
  if (!values.vpciEnabled) {
    warn(`the VM's kernel has PCI off and will not find the assigned devices: ${keyOf("vpciEnabled")} is not true`);
  }
  const seen = new Set<string>();
  const assigned = devices.map((entry: unknown, index): [string, VirtualPciDevice] => {
    const field = `devices[${index}]`;
    const { deviceInstancePath: path, virtualFunction } = readDevice(field, entry);
    // Windows compares instance paths without regard to case.
    const name = `${path.toLowerCase()}/${virtualFunction}`;
    if (seen.has(name)) {
      refuse(`${field}.id`, path, `each device and function only once: function ${virtualFunction} is listed already`);
    }
    seen.add(name);
    const device = {
      Functions: [{ DeviceInstancePath: path, ...(virtualFunction > 0 && { VirtualFunction: virtualFunction }) }],
      ...(propagateNumaAffinity && { PropagateNumaAffinity: true }),
    };
    return [host.newId().toLowerCase(), device];
  });
  return { VirtualPci: Object.fromEntries(assigned) };
}

function readDevice(field: string, entry: unknown): AssignedDeviceFunction {
  const { id, idType } = typeof entry === "object" && entry !== null ? (entry as Record<string, unknown>) : {};
  if (!assignedDeviceIdTypes.some((type) => type === idType)) {
    return refuse(`${field}.idType`, idType, `one of ${assignedDeviceIdTypes.join(", ")}`);
  }
  const device = typeof id === "string" && !/\p{Cc}/u.test(id) ? assignedDeviceFunction(id) : undefined;
  return device ?? refuse(`${field}.id`, id, assignedDeviceIdForm);
}
