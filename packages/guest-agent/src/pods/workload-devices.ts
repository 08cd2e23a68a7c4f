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
import type { AssignedDevice, DeviceNode, GuestDevices } from "../storage/devices.ts";
import { demandResources } from "./absent-parts.ts";
import { isPrivileged } from "./container-kind.ts";

const denyAll: OciDeviceRule = { allow: false, access: "rwm" };
const allowAll: OciDeviceRule = { allow: true, access: "rwm" };

/**
 * Adds a workload's devices: the nodes that it names, with the guest's numbers, and the assigned devices of
 * `windows.devices`, which other kinds of containers do not get. A privileged workload gets every node of the guest. Throws
 * a GuestFault naming a missing device, and an AbsentPart if there are no rules to extend.
 */
export function grantDevices(containerId: string, given: OciSpec, devices: GuestDevices): OciSpec {
  const { devices: named = [] } = given.linux ?? {};
  const assigned = (given.windows?.devices ?? []).flatMap((entry, index) => findAssigned(entry, index, devices));
  const assignedNodes = assigned.flatMap((device) => device.nodes);
  if (isPrivileged(given.annotations)) {
    demandResources(containerId, given, "the rule of a privileged container");
    const nodes = devices.nodes();
    const isOfTheGuest = ({ path }: { readonly path: string }): boolean => nodes.some((node) => node.path === path);
    const all = [...(named as readonly DeviceNode[]).filter((node) => !isOfTheGuest(node)), ...nodes];
    return withDevices(given, all, [allowAll, ...assignedNodes.map(allowUse)], assigned);
  }
  const nodes = named.map((node, index) => findNode(node, index, devices));
  if (nodes.length + assignedNodes.length > 0) demandResources(containerId, given, "a rule for a device");
  const rules = readRules(given.linux?.resources?.devices);
  return withDevices(given, nodes, [...rules, ...[...nodes, ...assignedNodes].map(allowUse)], assigned);
}

function withDevices(
  given: OciSpec,
  nodes: readonly unknown[],
  rules: readonly OciDeviceRule[],
  assigned: readonly AssignedDevice[],
): OciSpec {
  const { resources = {} } = given.linux ?? {};
  return {
    ...given,
    mounts: [...(given.mounts ?? []), ...assigned.map(mountOf)],
    linux: { ...given.linux, devices: nodes, resources: { ...resources, devices: rules } },
  };
}

/**
 * Normalizes the rules for the kernel and every runtime: a guest that may use only some devices cannot allow others, and
 * a device without a rule is denied.
 */
export function withGrantableRules(given: OciSpec, devices: Pick<GuestDevices, "rules">): OciSpec {
  const rules = readRules(given.linux?.resources?.devices);
  if (allowsAllDevices(rules)) {
    const own = devices.rules();
    if (own === undefined) return given;
    const behindAll = rules.slice(rules.findLastIndex((rule) => allowsAllDevices([rule])) + 1);
    return withRules(given, [denyAll, ...own, ...behindAll]);
  }
  return withRules(given, rules[0]?.allow === false ? rules : [denyAll, ...rules]);
}

function withRules(given: OciSpec, devices: readonly OciDeviceRule[]): OciSpec {
  return { ...given, linux: { ...given.linux, resources: { ...given.linux?.resources, devices } } };
}

function readRules(rules: unknown): readonly OciDeviceRule[] {
  try {
    return checkOciDeviceRules(rules ?? [], "OciSpecification.linux.resources.devices");
  } catch (cause) {
    if (cause instanceof SchemaError) throw new GuestFault("E_INVALIDARG", cause.message, { cause });
    throw cause;
  }
}

/** Entries of other types are ignored. */
function findAssigned(
  { id, idType }: OciWindowsDevice,
  index: number,
  devices: GuestDevices,
): readonly AssignedDevice[] {
  if (!assignedDeviceIdTypes.some((type) => type === idType)) return [];
  const found = devices.assigned(id);
  if (found !== undefined) return [found];
  const field = `OciSpecification.windows.devices[${index}]`;
  throw new GuestFault("ERROR_FILE_NOT_FOUND", `${field}.id: device ${id} is not assigned to the guest`);
}

function findNode(named: unknown, index: number, devices: GuestDevices): DeviceNode {
  const given = named as Partial<DeviceNode> & Pick<DeviceNode, "path">;
  const found = devices.node(given.path);
  if (found === undefined) {
    const field = `OciSpecification.linux.devices[${index}].path`;
    throw new GuestFault("ERROR_FILE_NOT_FOUND", `${field}: device ${given.path} does not exist in the guest`);
  }
  const { fileMode = found.fileMode, uid = found.uid, gid = found.gid } = given;
  return { ...found, fileMode, uid, gid };
}

/** Without "m", since every container may make nodes of any device anyway. */
function allowUse({ type, major, minor }: DeviceNode): OciDeviceRule {
  return { allow: true, type, major, minor, access: "rw" };
}

/** Only the folder is read-only, not what the host has attached in it. */
function mountOf({ folder }: AssignedDevice): OciMount {
  return { destination: folder, type: "bind", source: folder, options: ["rbind", "ro", "nosuid"] };
}
