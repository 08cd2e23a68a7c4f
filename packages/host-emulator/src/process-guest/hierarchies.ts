/** The cgroup hierarchies of this machine, and groups in them: how they are made, and how they are removed. */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

/** A mounted cgroup hierarchy: its controllers (a named one has none), or version 2. */
export interface Hierarchy {
  readonly mountPoint: string;
  readonly controllers: ReadonlySet<string> | "v2";
}

/** Reads the cgroup mounts out of the text of /proc/self/mountinfo; of several mounts of a hierarchy the first counts. */
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

export function mountedHierarchies(): readonly Hierarchy[] {
  return readHierarchies(readFileSync("/proc/self/mountinfo", "utf8"));
}

/**
 * Makes a group with all above it, and answers with those that there were not, the uppermost first. A group of version 2
 * gets every controller that can be handed down to it, one of version 1 the processors of the group above.
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

/** A group for processes, which hands no controllers on. */
export function makeSeat({ controllers }: Hierarchy, path: string): void {
  mkdirSync(path, { recursive: true });
  if (controllers !== "v2" && controllers.has("cpuset")) inheritCpuset(dirname(path), path);
}

/** With all its threads. Makes no file, as a folder that is no group would have it: nothing would have been moved then. */
export function moveProcess(pid: number, group: string): void {
  writeFileSync(join(group, "cgroup.procs"), String(pid), { flag: "r+" });
}

/** Pids of the processes in a group; a threaded one of version 2 does not tell them. */
export function processesOf(group: string): readonly number[] {
  const text = tolerateGone(() => readFileSync(join(group, "cgroup.procs"), "utf8"), "ENOTSUP") ?? "";
  // Those of another pid namespace are 0 here.
  return text.split("\n").flatMap((line) => (line === "" || line === "0" ? [] : [Number(line)]));
}

/** What containers can be limited by; others are left as they are on the machine. */
const delegatedControllers: ReadonlySet<string> = new Set(["cpu", "cpuset", "hugetlb", "io", "memory", "pids"]);

/**
 * Hands on every controller that can be. One is not there for the VM that is in use as version 1, that is kept back
 * (ENOENT), whose group has processes and is not the root (EBUSY), is threaded (ENOTSUP), or, for cpu, has realtime
 * processes (EINVAL).
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

/** A new cpuset is empty, and takes no process before it has processors and memory nodes. */
export function inheritCpuset(from: string, to: string): void {
  for (const file of ["cpuset.cpus", "cpuset.mems"]) {
    if (readFileSync(join(to, file), "utf8").trim() === "") {
      writeFileSync(join(to, file), readFileSync(join(from, file), "utf8").trim());
    }
  }
}

/** The group and all below it, parents first; empty when it does not exist. */
export function groupsBelow(path: string): string[] {
  const entries = tolerateGone(() => readdirSync(path, { withFileTypes: true }));
  if (entries === undefined) return [];
  return [
    path,
    ...entries.filter((entry) => entry.isDirectory()).flatMap((entry) => groupsBelow(join(path, entry.name))),
  ];
}

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

export function tolerateGone<T>(action: () => T, ...tolerated: readonly string[]): T | undefined {
  try {
    return action();
  } catch (error) {
    if (["ENOENT", "ENODEV", ...tolerated].includes(String((error as NodeJS.ErrnoException).code))) return undefined;
    throw error;
  }
}
