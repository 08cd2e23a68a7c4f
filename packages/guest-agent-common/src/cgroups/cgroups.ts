import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, symlinkSync, writeFileSync } from "node:fs";
import { totalmem } from "node:os";
import { join } from "node:path";
import { enterNewCgroupNamespace, MNT_DETACH, mount, mountFlags, umount } from "@uvm-shim/linux-calls";
import { agentFolders } from "../boot/guest-folders.ts";
import { type GroupMetrics, readGroupMetrics } from "./cgroup-metrics.ts";
import { limitContainerMemory } from "./container-memory.ts";

const { MS_NODEV, MS_NOEXEC, MS_NOSUID } = mountFlags;
const inert = MS_NOSUID | MS_NODEV | MS_NOEXEC;
const root = agentFolders.cgroups;

/** A version 1 hierarchy: the name of its folder, and its mount data. */
export interface Hierarchy {
  readonly folder: string;
  readonly data: string;
  /** The names of the controllers if several share the hierarchy. */
  readonly aliases: readonly string[];
}

/** The version 1 hierarchies in the text of /proc/self/cgroup; none if there is only version 2. */
export function readHierarchies(text: string): readonly Hierarchy[] {
  const hierarchies: Hierarchy[] = [];
  for (const line of text.split("\n")) {
    const [id, controllers] = line.split(":");
    if (id === undefined || id === "0" || controllers === undefined) continue;
    if (controllers.startsWith("name=")) {
      hierarchies.push({ folder: controllers.slice("name=".length), data: `none,${controllers}`, aliases: [] });
    } else {
      const names = controllers.split(",");
      hierarchies.push({ folder: controllers, data: controllers, aliases: names.length > 1 ? names : [] });
    }
  }
  return hierarchies;
}

/**
 * Mounts the cgroup hierarchies of the kernel: version 2 if it is the only one, else version 1. Version 2 beside version 1
 * is not mounted, because crun refuses it if it has a controller.
 */
export function mountCgroups(): void {
  const hierarchies = readHierarchies(readFileSync("/proc/self/cgroup", "utf8"));
  if (hierarchies.length === 0) {
    mount("cgroup2", root, "cgroup2", inert);
    delegateControllers(root, process.pid);
    return;
  }
  mount("cgroup", root, "tmpfs", inert, "mode=755");
  for (const { folder, data, aliases } of hierarchies) {
    mkdirSync(join(root, folder));
    mount("cgroup", join(root, folder), "cgroup", inert, data);
    for (const alias of aliases) symlinkSync(folder, join(root, alias));
  }
}

/** Sees the groups that this process has been moved to as it saw those before. Only while there is no container. */
export function mountNewCgroups(): void {
  enterNewCgroupNamespace();
  umount(root, MNT_DETACH);
  mountCgroups();
}

/**
 * Version 2 delegates controllers only from a group without processes, so the agent moves to a leaf. A controller that
 * still cannot be delegated (cpu: EINVAL with realtime processes) is missing for containers, whose limits of it are then
 * refused.
 */
export function delegateControllers(group: string, pid: number): void {
  const leaf = join(group, "init");
  mkdirSync(leaf, { recursive: true });
  writeFileSync(join(leaf, "cgroup.procs"), String(pid));
  const controllers = readFileSync(join(group, "cgroup.controllers"), "utf8").trim();
  for (const controller of controllers.split(" ").filter((name) => name !== "")) {
    try {
      writeFileSync(join(group, "cgroup.subtree_control"), `+${controller}`);
    } catch (error) {
      if (!hasCode(error, "EINVAL", "ENOENT", "ENOTSUP")) throw error;
    }
  }
}

/** The parent of all containers' groups. */
const containersGroup = "/containers";

/** The cgroup of a container, from the root of the guest's cgroup namespace. */
export function cgroupPathOf(containerId: string): string {
  return `${containersGroup}/${containerId}`;
}

/** Adjusts the common memory limit of all containers to the VM's memory; returns the limit in bytes. */
export function followMachineMemory(): number | undefined {
  return limitContainerMemory(root, containersGroup, totalmem());
}

/** What a container uses now. */
export function metricsOf(containerId: string): GroupMetrics {
  return readGroupMetrics(root, cgroupPathOf(containerId));
}

/** The folders of a container's cgroup, one for each hierarchy. */
function foldersOf(containerId: string, mounted: string): readonly string[] {
  const path = cgroupPathOf(containerId);
  const isVersion2 = existsSync(join(mounted, "cgroup.procs"));
  const bases = isVersion2 ? [mounted] : readdirSync(mounted).map((name) => join(mounted, name));
  return bases.map((base) => join(base, path)).filter((folder) => existsSync(folder));
}

/**
 * Allows the containers' common group the devices that the guest may use by now. A version 1 group inherits its parent's
 * rules only when it is made; devices that the host allows later, such as disks, must be added.
 */
export function shareDevices(mounted: string = root): void {
  const list = join(mounted, "devices", "devices.list");
  const allow = join(mounted, "devices", containersGroup, "devices.allow");
  if (!existsSync(list) || !existsSync(allow)) return;
  for (const rule of readFileSync(list, "utf8").split("\n")) {
    // A group that is allowed every device needs no rules.
    if (rule === "" || rule.startsWith("a ")) continue;
    try {
      writeFileSync(allow, rule, { flag: "a" });
    } catch (error) {
      // The host may have removed the device meanwhile.
      if (!hasCode(error, "EPERM")) throw error;
    }
  }
}

/** Pids of the processes in a container's cgroup and its descendants; empty if there is no cgroup. */
export function processesOf(containerId: string, mounted: string = root): readonly number[] {
  const pids = new Set<number>();
  for (const folder of foldersOf(containerId, mounted)) {
    for (const group of groupsBelow(folder)) {
      for (const line of readIfPresent(join(group, "cgroup.procs")).split("\n")) {
        if (line !== "") pids.add(Number(line));
      }
    }
  }
  return [...pids];
}

/** Limits that a negative number removes. */
export type LiftedLimit = "quota" | "processes";

/** The files of either version, and the value that removes a limit. */
const liftedBy: { readonly [Limit in LiftedLimit]: { readonly [file: string]: string } } = {
  quota: { "cpu.cfs_quota_us": "-1", "cpu.max": "max" },
  processes: { "pids.max": "max" },
};

/** Removes limits of a container, so that what they hold back can end. Files that the kernel does not have are left out. */
export function liftLimits(containerId: string, limits: readonly LiftedLimit[], mounted: string = root): void {
  for (const folder of foldersOf(containerId, mounted)) {
    for (const [file, none] of limits.flatMap((limit) => Object.entries(liftedBy[limit]))) {
      if (existsSync(join(folder, file))) writeFileSync(join(folder, file), none);
    }
  }
}

/** Removes the empty groups that a container has left. */
export function removeCgroups(containerId: string, mounted: string = root): void {
  for (const folder of foldersOf(containerId, mounted)) {
    for (const group of groupsBelow(folder).toReversed()) rmdirSync(group);
  }
}

/** The group and those below it, parents first. */
function groupsBelow(folder: string): string[] {
  const groups = [folder];
  for (let index = 0; index < groups.length; index++) {
    const group = groups[index] as string;
    for (const entry of entriesIfPresent(group)) {
      if (entry.isDirectory()) groups.push(join(group, entry.name));
    }
  }
  return groups;
}

// Groups may be removed while they are read. A threaded group of version 2 does not list its processes (ENOTSUP), but its
// nearest ancestor that is not threaded does.
function readIfPresent(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if (hasCode(error, "ENOENT", "ENODEV", "ENOTSUP")) return "";
    throw error;
  }
}

function entriesIfPresent(path: string) {
  try {
    return readdirSync(path, { withFileTypes: true });
  } catch (error) {
    if (hasCode(error, "ENOENT", "ENODEV")) return [];
    throw error;
  }
}

function hasCode(error: unknown, ...codes: readonly string[]): boolean {
  return codes.includes(String((error as NodeJS.ErrnoException).code));
}
