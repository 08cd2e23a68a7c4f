import { mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { processorLimit } from "@uvm-shim/hcs-schema";
import type { MachineUsage, ProcessorShare } from "../guest-machine.ts";
import { limitMemory, limitProcessors, readUsage, useProcessors } from "./limits.ts";

/** A mounted cgroup hierarchy: its controllers (a named one has none), or version 2. */
export interface Hierarchy {
  readonly mountPoint: string;
  readonly controllers: ReadonlySet<string> | "v2";
}

export interface VmLimits {
  readonly memoryMb: number;
  readonly processors: number;
  readonly share: ProcessorShare;
  readonly cpus: string | undefined;
}

const parentName = "uvm-shim";
/** Below a VM's group in version 2: the guest's root, and the place of the process that started it. */
const guestGroup = "guest";
const launcherGroup = "launcher";
/** null, zero, full, random, urandom, tty, console, ptmx, the terminals, and tun; nodes of any device may be made. */
const basicDevices = [
  ...["1:3", "1:5", "1:7", "1:8", "1:9", "5:0", "5:1", "5:2", "136:*", "10:200"].map((numbers) => `c ${numbers} rwm`),
  "c *:* m",
  "b *:* m",
];

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

/** The cgroups of one VM, one in each hierarchy of the machine. */
export class VmCgroups {
  readonly #groups: readonly { readonly path: string; readonly hierarchy: Hierarchy }[];
  /** How often each device was allowed. */
  readonly #grants = new Map<string, number>();

  constructor(name: string, hierarchies = readHierarchies(readFileSync("/proc/self/mountinfo", "utf8"))) {
    this.#groups = hierarchies.map((hierarchy) => ({
      path: join(hierarchy.mountPoint, parentName, name),
      hierarchy,
    }));
  }

  /** Files to which a process writes its pid to enter the cgroups, which are the roots of the guest's own then. */
  get entrances(): readonly string[] {
    return this.#groups.map(({ path, hierarchy }) =>
      hierarchy.controllers === "v2" ? join(path, guestGroup, "cgroup.procs") : join(path, "cgroup.procs"),
    );
  }

  /**
   * Takes the process that started the guest out of the guest's own groups. Version 2 lets a guest hand controllers on
   * to its containers only while no process is in the group that is its root.
   */
  releaseLauncher(pid: number): void {
    for (const { path, hierarchy } of this.#groups) {
      if (hierarchy.controllers === "v2") writeFileSync(join(path, launcherGroup, "cgroup.procs"), String(pid));
    }
  }

  create(limits: VmLimits): void {
    for (const { path, hierarchy } of this.#groups) {
      const parent = join(hierarchy.mountPoint, parentName);
      if (hierarchy.controllers === "v2") {
        delegateControllers(hierarchy.mountPoint);
        mkdirSync(parent, { recursive: true });
        delegateControllers(parent);
        mkdirSync(path);
        delegateControllers(path);
        for (const name of [guestGroup, launcherGroup]) mkdirSync(join(path, name));
      } else {
        mkdirSync(parent, { recursive: true });
        if (hierarchy.controllers.has("cpuset")) inheritCpuset(hierarchy.mountPoint, parent);
        mkdirSync(path);
        if (hierarchy.controllers.has("cpuset")) inheritCpuset(parent, path);
        if (hierarchy.controllers.has("devices")) denyDevices(path);
      }
    }
    this.limitMemory(limits.memoryMb);
    this.limitProcessors(limits.processors, { limit: processorLimit.unlimited, ...limits.share });
    if (limits.cpus !== undefined) this.useProcessors(limits.cpus);
  }

  /** Throws an HcsFailure when the guest uses more and can give back too little. */
  limitMemory(memoryMb: number): void {
    for (const group of this.#limited()) limitMemory(group, memoryMb);
  }

  limitProcessors(processors: number, share: ProcessorShare): void {
    for (const group of this.#limited()) limitProcessors(groupsBelow(group), processors, share);
  }

  /** Keeps the VM to these processors of the machine; undefined: all. Containers in it lose sets of their own. */
  useProcessors(cpus: string | undefined): void {
    for (const { path, hierarchy } of this.#groups) {
      const top = join(hierarchy.mountPoint, hierarchy.controllers === "v2" ? "cpuset.cpus.effective" : "cpuset.cpus");
      const all = tolerateGone(() => readFileSync(top, "utf8").trim());
      if (all === undefined) continue;
      const groups = hierarchy.controllers === "v2" ? this.#limited() : groupsBelow(path);
      useProcessors(groups, cpus ?? all, all);
    }
  }

  /** What the kernel has measured. Throws an HcsFailure where it measures nothing. */
  usage(): MachineUsage {
    return readUsage(this.#limited());
  }

  /** The groups that are the roots of the guest's own, where the guest sees its limits. */
  #limited(): readonly string[] {
    return this.#groups.map(({ path, hierarchy }) => (hierarchy.controllers === "v2" ? join(path, guestGroup) : path));
  }

  /**
   * Lets the VM use a device, until it has been denied as often as it was allowed. Version 2 would need a BPF program
   * for that: there only the absence of device nodes keeps a guest from the machine's other devices.
   */
  allowDevice(type: "b" | "c", major: number, minor: number): void {
    const device = `${type} ${major}:${minor}`;
    const grants = this.#grants.get(device) ?? 0;
    if (grants === 0) this.#writeDevices("devices.allow", `${device} rw`);
    this.#grants.set(device, grants + 1);
  }

  denyDevice(type: "b" | "c", major: number, minor: number): void {
    const device = `${type} ${major}:${minor}`;
    const grants = (this.#grants.get(device) ?? 0) - 1;
    if (grants > 0) {
      this.#grants.set(device, grants);
      return;
    }
    this.#grants.delete(device);
    // What every guest may use stays usable.
    if (!basicDevices.includes(`${device} rwm`)) this.#writeDevices("devices.deny", `${device} rw`);
  }

  /** Stops all processes where they stand, or lets them go on but those that the guest itself has frozen. */
  async freeze(isFrozen: boolean, timeoutMs: number): Promise<void> {
    const v1 = this.#groups.find(
      ({ hierarchy: { controllers } }) => controllers !== "v2" && controllers.has("freezer"),
    );
    const v2 = this.#groups.find(({ hierarchy }) => hierarchy.controllers === "v2");
    if (v1 !== undefined) {
      const state = join(v1.path, "freezer.state");
      const wanted = isFrozen ? "FROZEN" : "THAWED";
      writeFileSync(state, wanted);
      await until(() => readFileSync(state, "utf8").trim() === wanted, `${state} is not ${wanted}`, timeoutMs);
    } else if (v2 !== undefined) {
      const events = join(v2.path, guestGroup, "cgroup.events");
      const wanted = `frozen ${isFrozen ? 1 : 0}`;
      writeFileSync(join(v2.path, guestGroup, "cgroup.freeze"), isFrozen ? "1" : "0");
      await until(() => readFileSync(events, "utf8").includes(wanted), `${events} does not say ${wanted}`, timeoutMs);
    } else throw new Error("this machine has no cgroup freezer");
  }

  /** Lets frozen processes go on, since in version 1 a frozen process does not even die. */
  thaw(): void {
    for (const { path, hierarchy } of this.#groups) {
      if (hierarchy.controllers === "v2" || !hierarchy.controllers.has("freezer")) continue;
      for (const group of groupsBelow(path)) tolerateGone(() => writeFileSync(join(group, "freezer.state"), "THAWED"));
    }
  }

  /** Pids of all processes in the cgroups. A threaded one does not list them: the nearest above that is none does. */
  processes(): readonly number[] {
    const pids = new Set<number>();
    for (const { path } of this.#groups) {
      for (const group of groupsBelow(path)) {
        const text = tolerateGone(() => readFileSync(join(group, "cgroup.procs"), "utf8"), "ENOTSUP") ?? "";
        for (const line of text.split("\n")) if (line !== "" && line !== "0") pids.add(Number(line));
      }
    }
    return [...pids];
  }

  /** Removes the cgroups and those below; tries again while processes on their way out keep them busy. */
  async remove(timeoutMs: number): Promise<void> {
    const deadline = performance.now() + timeoutMs;
    for (let pause = 1; ; pause = Math.min(pause * 2, 50)) {
      const left = this.#groups.filter(({ path }) => !removeTree(path));
      if (left.length === 0) break;
      if (performance.now() > deadline) {
        throw new Error(`cgroups still busy after ${timeoutMs} ms: ${left.map(({ path }) => path).join(", ")}`);
      }
      await delay(pause);
    }
    // The parent goes with the last VM, whoever's it is.
    for (const { hierarchy } of this.#groups) removeGroup(join(hierarchy.mountPoint, parentName));
  }

  #writeDevices(file: string, rule: string): void {
    for (const { path, hierarchy } of this.#groups) {
      if (hierarchy.controllers === "v2" || !hierarchy.controllers.has("devices")) continue;
      // Containers have rules of their own below; taking a device away reaches there by itself.
      tolerateGone(() => writeFileSync(join(path, file), rule));
    }
  }
}

function denyDevices(path: string): void {
  writeFileSync(join(path, "devices.deny"), "a");
  for (const rule of basicDevices) writeFileSync(join(path, "devices.allow"), rule);
}

/** What containers can be limited by; others are left as they are on the machine. */
const delegatedControllers: ReadonlySet<string> = new Set(["cpu", "cpuset", "hugetlb", "io", "memory", "pids"]);

/**
 * Hands on every controller that can be. One is not there for the VM that is in use as version 1, that is kept back
 * (ENOENT), whose group has processes and is not the root (EBUSY), is threaded (ENOTSUP), or, for cpu, has realtime
 * processes (EINVAL).
 */
function delegateControllers(group: string): void {
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

async function until(isSo: () => boolean, otherwise: string, timeoutMs: number): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!isSo()) {
    if (performance.now() > deadline) throw new Error(`${otherwise} after ${timeoutMs} ms`);
    await delay(1);
  }
}

/** A new cpuset is empty, and takes no process before it has processors and memory nodes. */
function inheritCpuset(from: string, to: string): void {
  for (const file of ["cpuset.cpus", "cpuset.mems"]) {
    if (readFileSync(join(to, file), "utf8").trim() === "") {
      writeFileSync(join(to, file), readFileSync(join(from, file), "utf8").trim());
    }
  }
}

/** The group and all below it, parents first; empty when it does not exist. */
function groupsBelow(path: string): string[] {
  const entries = tolerateGone(() => readdirSync(path, { withFileTypes: true }));
  if (entries === undefined) return [];
  return [
    path,
    ...entries.filter((entry) => entry.isDirectory()).flatMap((entry) => groupsBelow(join(path, entry.name))),
  ];
}

function removeTree(path: string): boolean {
  return groupsBelow(path)
    .toReversed()
    .every((group) => removeGroup(group));
}

/** False while the group is in use. */
function removeGroup(path: string): boolean {
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

function tolerateGone<T>(action: () => T, ...tolerated: readonly string[]): T | undefined {
  try {
    return action();
  } catch (error) {
    if (["ENOENT", "ENODEV", ...tolerated].includes(String((error as NodeJS.ErrnoException).code))) return undefined;
    throw error;
  }
}
