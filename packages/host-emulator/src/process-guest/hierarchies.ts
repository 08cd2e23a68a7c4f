/** Cgroup hierarchies of this machine; creates and removes groups in them. */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

/** A mounted hierarchy of version 1 with its controllers (none for a named one), or version 2. */
export interface Hierarchy {
  readonly mountPoint: string;
  readonly controllers: ReadonlySet<string> | "v2";
}

/** Reads the cgroup mounts of /proc/self/mountinfo, with the first mount of each hierarchy. */
export function readHierarchies(mountinfo: string): readonly Hierarchy[] {
  const found = new Map<string, Hierarchy>();
  for (const line of mountinfo.split("\n")) {
    const [mount = "", file = ""] = line.split(" - ");
    const mountPoint = mount
      .split(" ")[4]
      ?.replaceAll(/\\(\d{3})/g, (_, code) => String.fromCharCode(parseInt(code, 8)));
    const [type, , options = ""] = file.split(" ");
    if (mountPoint === undefined) continue;
    if (type === "cgroup2" && !found.has("v2")) found.set("v2", { mountPoint, controllers: "v2" });
    if (type === "cgroup" && !found.has(options)) {
      const names = options.split(",").filter((option) => /^[a-z_]+$/.test(option) && !/^(rw|ro|xattr)$/.test(option));
      found.set(options, { mountPoint, controllers: new Set(names) });
    }
  }
  return [...found.values()];
}

/** The hierarchies of cgroups that this machine has mounted. */
export function mountedHierarchies(): readonly Hierarchy[] {
  return readHierarchies(readFileSync("/proc/self/mountinfo", "utf8"));
}

/**
 * Creates a group and its parents; returns the created ones, parents first. In version 2 a group gets all available
 * controllers, in version 1 the processors of its parent.
 */
export function makeGroups({ mountPoint, controllers }: Hierarchy, path: string): readonly string[] {
  if (path === mountPoint) {
    if (controllers === "v2") delegateControllers(path);
    return [];
  }
  const above = dirname(path);
  const made = makeGroups({ mountPoint, controllers }, above);
  const isNew = !existsSync(path);
  if (isNew) mkdirSync(path);
  if (controllers === "v2") delegateControllers(path);
  else if (controllers.has("cpuset")) inheritCpuset(above, path);
  return isNew ? [...made, path] : made;
}

/** Creates a group for processes, without controllers for groups below. */
export function makeSeat({ controllers }: Hierarchy, path: string): void {
  mkdirSync(path, { recursive: true });
  if (controllers !== "v2" && controllers.has("cpuset")) inheritCpuset(dirname(path), path);
}

/** Moves a process with all its threads. Never creates the file, so that a folder that is not a group is an error. */
export function moveProcess(pid: number, group: string): void {
  writeFileSync(join(group, "cgroup.procs"), String(pid), { flag: "r+" });
}

/** Pids of the processes in a group. A threaded group of version 2 does not list them. */
export function processesOf(group: string): readonly number[] {
  const text = tolerateGone(() => readFileSync(join(group, "cgroup.procs"), "utf8"), "ENOTSUP") ?? "";
  // Processes of other pid namespaces are listed as 0.
  return text.split("\n").flatMap((line) => (line === "" || line === "0" ? [] : [Number(line)]));
}

/** Controllers that limit containers; others stay unchanged. */
const delegatedControllers: ReadonlySet<string> = new Set(["cpu", "cpuset", "hugetlb", "io", "memory", "pids"]);

/**
 * Enables every available controller for groups below. A controller is unavailable if version 1 uses it, if it is not
 * enabled above (ENOENT), if the group has processes and is not the root (EBUSY), if it is threaded (ENOTSUP), or, for
 * cpu, if it has realtime processes (EINVAL).
 */
export function delegateControllers(group: string): void {
  const available = tolerateGone(() => readFileSync(join(group, "cgroup.controllers"), "utf8")) ?? "";
  for (const controller of available.trim().split(" ")) {
    if (!delegatedControllers.has(controller)) continue;
    try {
      writeFileSync(join(group, "cgroup.subtree_control"), `+${controller}`);
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code;
      if (code !== "EBUSY" && code !== "ENOENT" && code !== "EINVAL" && code !== "ENOTSUP") throw error;
    }
  }
}

/** A new cpuset is empty, and accepts processes only after it has processors and memory nodes. */
export function inheritCpuset(from: string, to: string): void {
  for (const file of ["cpuset.cpus", "cpuset.mems"]) {
    if (readFileSync(join(to, file), "utf8").trim() === "") {
      writeFileSync(join(to, file), readFileSync(join(from, file), "utf8").trim());
    }
  }
}

/** The group and all groups below it, parents first; empty if it does not exist. */
export function groupsBelow(path: string): string[] {
  const entries = tolerateGone(() => readdirSync(path, { withFileTypes: true }));
  if (entries === undefined) return [];
  return [
    path,
    ...entries.filter((entry) => entry.isDirectory()).flatMap((entry) => groupsBelow(join(path, entry.name))),
  ];
}

/** Removes a cgroup with those below it; false if one of them has processes. */
export function removeTree(path: string): boolean {
  return groupsBelow(path)
    .toReversed()
    .every((group) => removeGroup(group));
}

/** False while the group is in use. */
export function removeGroup(path: string): boolean {
  try {
    rmdirSync(path);
    return true;
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === "ENOENT") return true;
    if (code === "EBUSY" || code === "ENOTEMPTY") return false;
    throw error;
  }
}

/** Runs a call on a cgroup; undefined if the cgroup, or what is asked of it, is not there. */
export function tolerateGone<T>(action: () => T, ...tolerated: readonly string[]): T | undefined {
  try {
    return action();
  } catch (error) {
    if (["ENOENT", "ENODEV", ...tolerated].includes(String((error as NodeJS.ErrnoException).code))) return undefined;
    throw error;
  }
}
