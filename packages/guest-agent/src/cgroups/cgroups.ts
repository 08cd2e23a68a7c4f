import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, symlinkSync, writeFileSync } from "node:fs";
import { totalmem } from "node:os";
import { join } from "node:path";
import { mount, mountFlags } from "@uvm-shim/linux-calls";
import { agentFolders } from "../boot/guest-folders.ts";
import type { LiftedLimit } from "../container/specification.ts";
import { type GroupMetrics, readGroupMetrics } from "./cgroup-metrics.ts";
import { limitContainerMemory } from "./container-memory.ts";

const { MS_NODEV, MS_NOEXEC, MS_NOSUID } = mountFlags;
const inert = MS_NOSUID | MS_NODEV | MS_NOEXEC;
const root = agentFolders.cgroups;

/** A hierarchy of version 1: the name of its folder, and the data that mounts it. */
export interface Hierarchy {
  readonly folder: string;
  readonly data: string;
  /** The controllers by themselves, where several share the hierarchy. */
  readonly aliases: readonly string[];
}

/** The version 1 hierarchies of this kernel, from the text of /proc/self/cgroup; none where version 2 stands alone. */
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
 * Mounts the cgroup hierarchies as the kernel has them: version 2 where it stands alone, else version 1. Version 2
 * beside version 1 is left out, because crun refuses a guest that has it with a controller in it.
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

/**
 * Version 2 allows controllers below a group only when no process is in it: the agent, alone there, moves to a leaf of
 * its own. A controller that cannot be handed on even so (cpu, EINVAL, beside realtime processes) is not there for
 * containers, which then are refused limits of it.
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

/** The group above those of all containers. */
const containersGroup = "/containers";

/** The cgroup of a container, from the root of the guest's cgroup namespace. */
export function cgroupPathOf(containerId: string): string {
  return `${containersGroup}/${containerId}`;
}

/** Has the memory of all containers together follow the VM's; answers with the bytes that they may have. */
export function followMachineMemory(): number | undefined {
  return limitContainerMemory(root, containersGroup, totalmem());
}

export function metricsOf(containerId: string): GroupMetrics {
  return readGroupMetrics(root, cgroupPathOf(containerId));
}

/** The folders that hold a container's cgroup, one a hierarchy. */
function foldersOf(containerId: string, mounted: string): readonly string[] {
  const path = cgroupPathOf(containerId);
  const isVersion2 = existsSync(join(mounted, "cgroup.procs"));
  const bases = isVersion2 ? [mounted] : readdirSync(mounted).map((name) => join(mounted, name));
  return bases.map((base) => join(base, path)).filter((folder) => existsSync(folder));
}

/**
 * Lets the containers' common group use what the guest may use by now. Version 1 gives a group what its parent may use
 * when it is made; what the host allows the guest later, such as a disk that it attaches, is for each group to be told.
 */
export function shareDevices(mounted: string = root): void {
  const list = join(mounted, "devices", "devices.list");
  const allow = join(mounted, "devices", containersGroup, "devices.allow");
  if (!existsSync(list) || !existsSync(allow)) return;
  for (const rule of readFileSync(list, "utf8").split("\n")) {
    // One that may use all has nothing to be told.
    if (rule === "" || rule.startsWith("a ")) continue;
    try {
      writeFileSync(allow, rule, { flag: "a" });
    } catch (error) {
      // The host may take a device away meanwhile: then there is nothing to be shared.
      if (!hasCode(error, "EPERM")) throw error;
    }
  }
}

/** Pids of the processes in a container's cgroup and in the groups that it made below. Empty when it has none. */
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

/** What a file of either version is told to take a limit away. */
const liftedBy: { readonly [Limit in LiftedLimit]: { readonly [file: string]: string } } = {
  quota: { "cpu.cfs_quota_us": "-1", "cpu.max": "max" },
  processes: { "pids.max": "max" },
};

/** Takes limits of a container away. */
export function liftLimits(containerId: string, limits: readonly LiftedLimit[], mounted: string = root): void {
  for (const folder of foldersOf(containerId, mounted)) {
    for (const [file, none] of limits.flatMap((limit) => Object.entries(liftedBy[limit]))) {
      if (existsSync(join(folder, file))) writeFileSync(join(folder, file), none);
    }
  }
}

/** Removes the empty groups that a container leaves behind. */
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

// Groups come and go with the container's processes while they are read; a threaded one of version 2 does not tell its
// processes (ENOTSUP), but the nearest group above it that is none does.
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
