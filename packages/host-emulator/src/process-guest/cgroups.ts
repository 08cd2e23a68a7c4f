import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
// A pause between two looks, not a deadline: it wakes this process once, where a `Clock` does so in steps.
import { setTimeout as delay } from "node:timers/promises";
import { processorLimit } from "@uvm-shim/hcs-schema";
import { DeviceGuard, type GuardedDevice } from "@uvm-shim/linux-calls";
import type { MachineUsage, ProcessorShare } from "../guest-machine.ts";
import { isLack } from "../hcs-failure.ts";
import {
  groupsBelow,
  type Hierarchy,
  makeGroups,
  makeSeat,
  mountedHierarchies,
  processesOf,
  removeGroup,
  removeTree,
  tolerateGone,
} from "./hierarchies.ts";
import { limitMemory, limitProcessors, readUsage, useProcessors, weighGroup } from "./limits.ts";

export interface VmLimits {
  readonly memoryMb: number;
  readonly processors: number;
  readonly share: ProcessorShare;
  readonly cpus: string | undefined;
}

const parentName = "uvm-shim";
/** Of a VM's group below its pod's. */
export const groupInPod = "vm";
/**
 * What a VM has of the processors while it boots, beside those that run and have the weight that is usual. Far less would
 * have it time out on a machine that is busy for long.
 */
const bootingWeight = processorLimit.defaultWeight / 2;
/**
 * Below a VM's group: the root of the guest's own groups. Who may administer the guest may write to it, and raise what it
 * has up to what the VM's group allows, which the guest cannot reach.
 */
const guestGroup = "guest";
/** Below a VM's group in version 2: the place of the process that started it. */
const launcherGroup = "launcher";
/** null, zero, full, random, urandom, tty, console, ptmx, the terminals, and tun; nodes of any device may be made. */
const basicDevices = [
  ...["1:3", "1:5", "1:7", "1:8", "1:9", "5:0", "5:1", "5:2", "136:*", "10:200"].map((numbers) => `c ${numbers} rwm`),
  "c *:* m",
  "b *:* m",
];

/** As the guard of version 2 has them; nodes of any device may be made there too. */
const guardedBasics = basicDevices.flatMap((rule) => {
  const [, type, major, minor] = /^([bc]) (\d+):(\d+|\*) rwm$/.exec(rule) ?? [];
  if (type !== "b" && type !== "c") return [];
  return [{ type, major: Number(major), minor: minor === "*" ? undefined : Number(minor) } as const];
});

/** The cgroups of one VM, one in each hierarchy of the machine. */
export class VmCgroups {
  readonly #groups: readonly { readonly path: string; readonly top: string; readonly hierarchy: Hierarchy }[];
  readonly #isInPod: boolean;
  /** How often each device was allowed. */
  readonly #grants = new Map<string, number>();
  /** Of version 2, where version 1 has no controller of devices. */
  #guard: DeviceGuard | undefined;
  #unguarded: Error | undefined;

  /**
   * Below the pod's group, where there is one, by its path in every hierarchy, which is a group for all that is the pod's;
   * else below one for all VMs of the machine.
   */
  constructor(name: string, hierarchies: readonly Hierarchy[] = mountedHierarchies(), pod?: string) {
    this.#isInPod = pod !== undefined;
    this.#groups = hierarchies.map((hierarchy) => ({
      path: join(hierarchy.mountPoint, ...(pod === undefined ? [parentName, name] : [pod, groupInPod])),
      top: join(hierarchy.mountPoint, pod ?? join(parentName, name)),
      hierarchy,
    }));
  }

  /** Files to which a process writes its pid to enter the cgroups, which are the roots of the guest's own then. */
  get entrances(): readonly string[] {
    return this.#groups.map(({ path }) => join(path, guestGroup, "cgroup.procs"));
  }

  /** The VM's group of version 2; undefined where there is none. */
  get unified(): string | undefined {
    return this.#groups.find(({ hierarchy }) => hierarchy.controllers === "v2")?.path;
  }

  /** Why nothing keeps the VM from devices of this machine, where that is so. */
  get unguarded(): Error | undefined {
    return this.#unguarded;
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
      makeGroups(hierarchy, path);
      // A group has what the one above it has when it is made.
      if (hasDevices(hierarchy)) denyDevices(path);
      makeSeat(hierarchy, join(path, guestGroup));
      if (hierarchy.controllers === "v2") mkdirSync(join(path, launcherGroup));
    }
    this.#guardDevices();
    this.limitMemory(limits.memoryMb);
    this.limitProcessors(limits.processors, { limit: processorLimit.unlimited, ...limits.share });
    if (limits.cpus !== undefined) this.useProcessors(limits.cpus);
    this.#weigh(bootingWeight);
  }

  /** The VM runs, and no longer gives way to those that do. */
  endBoot({ processors, share }: Pick<VmLimits, "processors" | "share">): void {
    this.#weigh(processorLimit.defaultWeight);
    // In version 1 the document's weight stands where the boot's did.
    this.limitProcessors(processors, share);
  }

  #weigh(weight: number): void {
    for (const { top } of this.#groups) if (existsSync(top)) weighGroup(top, weight);
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
    return readUsage(this.#groups.map(({ path }) => join(path, guestGroup)));
  }

  /**
   * The groups that have the VM's limits: those that the guest cannot reach, and the roots of its own, where it sees them.
   */
  #limited(): readonly string[] {
    return this.#groups.flatMap(({ path }) => [path, join(path, guestGroup)]);
  }

  /** Throws where the machine lacks something for it now: a VM that could be guarded a little later does not run without. */
  #guardDevices(): void {
    const { unified } = this;
    if (unified === undefined || this.#groups.some(({ hierarchy }) => hasDevices(hierarchy))) return;
    try {
      this.#guard = new DeviceGuard(unified, guardedBasics);
    } catch (error) {
      if (isLack(error)) throw error;
      this.#unguarded = error as Error;
    }
  }

  /** Lets the VM use a device, until it has been denied as often as it was allowed. */
  allowDevice(type: "b" | "c", major: number, minor: number): void {
    const device = `${type} ${major}:${minor}`;
    const grants = this.#grants.get(device) ?? 0;
    if (grants === 0) {
      this.#guard?.allow([...this.#granted(), { type, major, minor }]);
      this.#writeDevices("devices.allow", `${device} rw`);
    }
    this.#grants.set(device, grants + 1);
  }

  denyDevice(type: "b" | "c", major: number, minor: number): void {
    const device = `${type} ${major}:${minor}`;
    const grants = (this.#grants.get(device) ?? 0) - 1;
    if (grants > 0) {
      this.#grants.set(device, grants);
      return;
    }
    this.#guard?.allow(this.#granted(device));
    // What every guest may use stays usable.
    if (!basicDevices.includes(`${device} rwm`)) this.#writeDevices("devices.deny", `${device} rw`);
    // Last, so that a denial that failed can be tried again.
    this.#grants.delete(device);
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

  /**
   * Lets frozen processes go on, since in version 1 a frozen process does not even die; at once where it can be, else as
   * soon as what lacks for it is there.
   */
  async thawSoon(timeoutMs: number): Promise<void> {
    const deadline = performance.now() + timeoutMs;
    for (let pause = 1; ; pause = Math.min(pause * 2, 50)) {
      try {
        this.thaw();
        return;
      } catch (error) {
        if (!isLack(error) || performance.now() > deadline) throw error;
      }
      await delay(pause);
    }
  }

  thaw(): void {
    for (const { path, hierarchy } of this.#groups) {
      if (hierarchy.controllers === "v2" || !hierarchy.controllers.has("freezer")) continue;
      for (const group of groupsBelow(path)) tolerateGone(() => writeFileSync(join(group, "freezer.state"), "THAWED"));
    }
  }

  /** Pids of all processes in the cgroups: of a threaded one, the nearest above that is none tells them. */
  processes(): readonly number[] {
    const pids = new Set<number>();
    for (const { path } of this.#groups) {
      for (const group of groupsBelow(path)) {
        for (const pid of processesOf(group)) pids.add(pid);
      }
    }
    return [...pids];
  }

  /** Removes the cgroups and those below; tries again while processes on their way out keep them busy, or something lacks. */
  async remove(timeoutMs: number): Promise<void> {
    this.#guard?.close();
    this.#guard = undefined;
    const deadline = performance.now() + timeoutMs;
    for (let pause = 1; ; pause = Math.min(pause * 2, 50)) {
      let lack: unknown;
      const left = this.#groups.filter(({ path }) => {
        try {
          return !removeTree(path);
        } catch (error) {
          if (!isLack(error)) throw error;
          lack = error;
          return true;
        }
      });
      if (left.length === 0) break;
      if (performance.now() > deadline) {
        const paths = left.map(({ path }) => path).join(", ");
        const state = lack === undefined ? "busy" : `there (${String(lack)})`;
        throw new Error(`cgroups still ${state} after ${timeoutMs} ms: ${paths}`, { cause: lack });
      }
      await delay(pause);
    }
    if (this.#isInPod) return;
    // The parent goes with the last VM, whoever's it is.
    for (const { hierarchy } of this.#groups) removeGroup(join(hierarchy.mountPoint, parentName));
  }

  /** What every guest has, and what this one was given, without the device that it is to lose. */
  #granted(lost?: string): readonly GuardedDevice[] {
    const kept = [...this.#grants.keys()].filter((device) => device !== lost);
    const granted = kept.map((device): GuardedDevice => {
      const [type, major, minor] = device.split(/[ :]/);
      return { type: type === "b" ? "b" : "c", major: Number(major), minor: Number(minor) };
    });
    return [...guardedBasics, ...granted];
  }

  #writeDevices(file: string, rule: string): void {
    for (const { path, hierarchy } of this.#groups) {
      if (!hasDevices(hierarchy)) continue;
      // Containers have rules of their own below; taking a device away reaches there by itself.
      const groups = file === "devices.allow" ? [path, join(path, guestGroup)] : [path];
      for (const group of groups) tolerateGone(() => writeFileSync(join(group, file), rule));
    }
  }
}

function hasDevices({ controllers }: Hierarchy): boolean {
  return controllers !== "v2" && controllers.has("devices");
}

function denyDevices(path: string): void {
  writeFileSync(join(path, "devices.deny"), "a");
  for (const rule of basicDevices) writeFileSync(join(path, "devices.allow"), rule);
}

async function until(isSo: () => boolean, otherwise: string, timeoutMs: number): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!isSo()) {
    if (performance.now() > deadline) throw new Error(`${otherwise} after ${timeoutMs} ms`);
    await delay(1);
  }
}
