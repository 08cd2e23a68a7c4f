/** Devices of the guest: those that exist, those that it may use, and those that the host has assigned. */
import { existsSync, lstatSync, readdirSync, readFileSync, type Stats } from "node:fs";
import { join } from "node:path";
import { agentFolders } from "@uvm-shim/guest-agent-common";
import type { OciDeviceRule } from "@uvm-shim/hcs-schema";
import { assignedDeviceFiles, assignedDeviceFolder } from "@uvm-shim/host-protocol/guest";

/** A device node, in the form of `linux.devices`. */
export interface DeviceNode {
  readonly path: string;
  readonly type: "b" | "c";
  readonly major: number;
  readonly minor: number;
  readonly fileMode: number;
  readonly uid: number;
  readonly gid: number;
}

/** A device that the host has assigned to the VM. */
export interface AssignedDevice {
  /** The folder with the device's declaration and nodes. */
  readonly folder: string;
  readonly nodes: readonly DeviceNode[];
}

/** The devices that containers can have. */
export interface GuestDevices {
  /** The devices that the guest may use; undefined if it may use all. */
  rules(): readonly OciDeviceRule[] | undefined;
  /** All nodes of the guest except those of assigned devices. */
  nodes(): readonly DeviceNode[];
  /** Undefined if there is no device at the path. */
  node(path: string): DeviceNode | undefined;
  /** Undefined while the guest has no device of this VMBus GUID. */
  assigned(vmBusGuid: string): AssignedDevice | undefined;
}

/** Folders of /dev whose contents a container has anyway, or gets only on request. */
const foldersOfTheirOwn: ReadonlySet<string> = new Set(["fd", "mqueue", "pts", "shm", "vpci"]);

/** Looks the devices up on each call. */
export const guestDevices: GuestDevices = {
  rules: () => {
    const list = `${agentFolders.cgroups}/devices/devices.list`;
    return existsSync(list) ? parseDeviceRules(readFileSync(list, "utf8")) : undefined;
  },
  nodes: () =>
    readdirSync("/dev").flatMap((name) => (foldersOfTheirOwn.has(name) ? [] : nodesBelow(join("/dev", name)))),
  node: nodeAt,
  assigned: (vmBusGuid) => {
    const folder = assignedDeviceFolder(vmBusGuid);
    if (!existsSync(`${folder}/${assignedDeviceFiles.declaration}`)) return undefined;
    return { folder, nodes: readdirSync(folder).flatMap((name) => nodeAt(join(folder, name)) ?? []) };
  },
};

/** Reads the devices.list of a version 1 cgroup; undefined if it allows every device. */
export function parseDeviceRules(text: string): readonly OciDeviceRule[] | undefined {
  const rules: OciDeviceRule[] = [];
  for (const line of text.split("\n")) {
    const [, type, major, minor, access] = /^([abc]) (\d+|\*):(\d+|\*) ([rwm]+)$/.exec(line) ?? [];
    if (type === undefined || access === undefined) continue;
    if (type === "a") return undefined;
    rules.push({
      allow: true,
      type,
      access,
      ...(major === "*" ? {} : { major: Number(major) }),
      ...(minor === "*" ? {} : { minor: Number(minor) }),
    });
  }
  return rules;
}

function nodesBelow(path: string): readonly DeviceNode[] {
  const stats = lstatSync(path, { throwIfNoEntry: false });
  if (stats?.isDirectory() === true) return readdirSync(path).flatMap((name) => nodesBelow(join(path, name)));
  const node = nodeAt(path, stats);
  return node === undefined ? [] : [node];
}

function nodeAt(
  path: string,
  stats: Stats | undefined = lstatSync(path, { throwIfNoEntry: false }),
): DeviceNode | undefined {
  if (stats === undefined || !(stats.isBlockDevice() || stats.isCharacterDevice())) return undefined;
  const { rdev, mode, uid, gid } = stats;
  const type = stats.isBlockDevice() ? "b" : "c";
  const major = (rdev >> 8) & 0xfff;
  const minor = (rdev & 0xff) | ((rdev >> 12) & 0xfff00);
  return { path, type, major, minor, fileMode: mode & 0o7777, uid, gid };
}
