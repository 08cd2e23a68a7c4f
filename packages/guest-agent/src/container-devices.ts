import { GuestFault } from "@uvm-shim/gcs-bridge";
import {
  allowsAllDevices,
  assignedDeviceIdTypes,
  checkOciDeviceRules,
  type OciDeviceRule,
  type OciMount,
  type OciSpec,
  type OciWindowsDevice,
  SchemaError,
} from "@uvm-shim/hcs-schema";
import type { AssignedDevice, DeviceNode, GuestDevices } from "./devices.ts";

const denyAll: OciDeviceRule = { allow: false, access: "rwm" };

/**
 * A container's specification with devices as this guest has them. Rules that allow all devices give it those that the
 * guest itself may use, and their nodes. Any other container gets the nodes that it names, by the guest's numbers for
 * them, and the folders of the assigned devices that it names in `windows.devices`; other devices are denied, unless
 * its own rules say otherwise. Throws a GuestFault naming what the guest does not have.
 */
export function grantDevices(given: OciSpec, devices: GuestDevices): OciSpec {
  const assigned = (given.windows?.devices ?? []).map((entry, index) => findAssigned(entry, index, devices));
  const { resources = {}, devices: named } = given.linux ?? {};
  const rules = readRules(resources.devices);
  const isPrivileged = allowsAllDevices(rules);
  const nodes = isPrivileged ? devices.nodes() : (named ?? []).map((node, index) => findNode(node, index, devices));
  const granted = [...(isPrivileged ? [] : nodes), ...assigned.flatMap((device) => device.nodes)].map(allowUse);
  const base = isPrivileged ? rulesOfTheGuest(devices, rules) : rules.length === 0 ? [denyAll] : rules;
  return {
    ...given,
    mounts: [...(given.mounts ?? []), ...assigned.map(mountOf)],
    linux: { ...given.linux, devices: nodes, resources: { ...resources, devices: [...base, ...granted] } },
  };
}

function readRules(rules: unknown): readonly OciDeviceRule[] {
  try {
    return checkOciDeviceRules(rules ?? [], "OciSpecification.linux.resources.devices");
  } catch (cause) {
    if (cause instanceof SchemaError) throw new GuestFault("E_INVALIDARG", cause.message, { cause });
    throw cause;
  }
}

function rulesOfTheGuest(devices: GuestDevices, rules: readonly OciDeviceRule[]): readonly OciDeviceRule[] {
  const own = devices.rules();
  return own === undefined ? rules : [denyAll, ...own];
}

function findAssigned({ id, idType }: OciWindowsDevice, index: number, devices: GuestDevices): AssignedDevice {
  const field = `OciSpecification.windows.devices[${index}]`;
  if (!assignedDeviceIdTypes.some((type) => type === idType)) {
    const accepted = assignedDeviceIdTypes.join(", ");
    throw new GuestFault("E_INVALIDARG", `${field}.idType is ${idType}, accepted are ${accepted}`);
  }
  const found = devices.assigned(id);
  if (found !== undefined) return found;
  throw new GuestFault("ERROR_FILE_NOT_FOUND", `${field}.id is ${id}, no such device is assigned to the guest`);
}

function findNode(named: unknown, index: number, devices: GuestDevices): DeviceNode {
  const given = named as Partial<DeviceNode> & Pick<DeviceNode, "path">;
  const found = devices.node(given.path);
  if (found === undefined) {
    const field = `OciSpecification.linux.devices[${index}].path`;
    throw new GuestFault("ERROR_FILE_NOT_FOUND", `${field} is ${given.path}, the guest has no such device`);
  }
  const { fileMode = found.fileMode, uid = found.uid, gid = found.gid } = given;
  return { ...found, fileMode, uid, gid };
}

/** To make nodes of any device is allowed to every container, and hurts as little as they do. */
function allowUse({ type, major, minor }: DeviceNode): OciDeviceRule {
  return { allow: true, type, major, minor, access: "rw" };
}

/** Read-only is the folder alone, not what the host has attached below it. */
function mountOf({ folder }: AssignedDevice): OciMount {
  return { destination: folder, type: "bind", source: folder, options: ["rbind", "ro", "nosuid"] };
}
