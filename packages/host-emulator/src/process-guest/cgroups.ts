import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { processorLimit } from "@uvm-shim/hcs-schema";
import { delay } from "@uvm-shim/lifecycle";
import { DeviceGuard, type GuardedDevice } from "@uvm-shim/linux-calls";
import type { MachineUsage, ProcessorShare } from "../guest-machine.ts";
import { isLack } from "../hcs-failure.ts";
import {
  groupsBelow,
  type Hierarchy,
  makeGroups,
  makeSeat,
  mountedHierarchies,
  moveProcess,
  processesOf,
  tolerateGone,
} from "./hierarchies.ts";
import { limitMemory, limitProcessors, readUsage, useProcessors, weighGroup } from "./limits.ts";
import { groupIn, parentName, removeAll, removeParents, type VmGroup } from "./vm-group.ts";

/** The limits of all of a VM's processes together. */
export interface VmLimits {
  readonly memoryMb: number;
  readonly processors: number;
  readonly share: ProcessorShare;
  readonly cpus: string | undefined;
}

/**
 * Processor weight of a booting VM, relative to the usual weight of running ones. With much less, a boot would time out on
 * a busy machine.
 */
const bootingWeight = processorLimit.defaultWeight / 2;
/**
 * Root of the guest's own groups, below the VM's group. Administrators of the guest may raise its limits, but not above
 * those of the VM's group, which the guest cannot reach.
 */
const guestGroup = "guest";
/** Parent of the containers' groups, below the guest's own root. */
const containersGroup = "containers";
/** Group of the process that started the VM, below the VM's group in version 2. */
const launcherGroup = "launcher";
/** null, zero, full, random, urandom, tty, console, ptmx, the terminals, and tun. mknod is allowed for all devices. */
const basicDevices = [
  ...["1:3", "1:5", "1:7", "1:8", "1:9", "5:0", "5:1", "5:2", "136:*", "10:200"].map((numbers) => `c ${numbers} rwm`),
  "c *:* m",
  "b *:* m",
];

/** The same devices for the guard of version 2, which also allows mknod for all devices. */
const guardedBasics = basicDevices.flatMap((rule) => {
  const [, type, major, minor] = /^([bc]) (\d+):(\d+|\*) rwm$/.exec(rule) ?? [];
  if (type !== "b" && type !== "c") return [];
  return [{ type, major: Number(major), minor: minor === "*" ? undefined : Number(minor) } as const];
});

/** New processes may start while others are moved. */
const movingRounds = 10;

/** Cgroups of a VM, one in each hierarchy of this machine. */
export class VmCgroups {
  #groups: readonly VmGroup[];
  /** Those that it was in before it was moved into a pod, until they are removed. */
  #left: readonly VmGroup[] = [];
  #isInPod: boolean;
  #limits: VmLimits | undefined;
  /** Number of grants of each device. */
  readonly #grants = new Map<string, number>();
  /** Device guard of version 2, if version 1 has no devices controller. */
  #guard: DeviceGuard | undefined;
  #unguarded: Error | undefined;

  /**
   * `podGroup` is the path of the pod's group in every hierarchy. Without it, the VM's groups are below one for all VMs of
   * this machine.
   */
  constructor(name: string, hierarchies: readonly Hierarchy[] = mountedHierarchies(), pod?: string) {
    this.#isInPod = pod !== undefined;
    this.#groups = hierarchies.map((hierarchy) => groupIn(hierarchy, pod, pod ?? join(parentName, name)));
  }

  /** The cgroup.procs files of the roots of the guest's groups. A process enters them by writing its pid. */
  get entrances(): readonly string[] {
    return this.#groups.map(({ path }) => join(path, guestGroup, "cgroup.procs"));
  }

  /** The VM's group in version 2; undefined without version 2. */
  get unified(): string | undefined {
    return this.#groups.find(({ hierarchy }) => hierarchy.controllers === "v2")?.path;
  }

  /** Why devices of this machine are not protected from the VM; undefined if they are. */
  get unguarded(): Error | undefined {
    return this.#unguarded;
  }

  /**
   * Moves the process that started the guest out of the guest's groups. In version 2, a guest can enable controllers for
   * its containers only while the root group has no processes.
   */
  releaseLauncher(pid: number): void {
    for (const { path, hierarchy } of this.#groups) {
      if (hierarchy.controllers === "v2") writeFileSync(join(path, launcherGroup, "cgroup.procs"), String(pid));
    }
  }

  create(limits: VmLimits): void {
    this.#make({ ...limits, share: { limit: processorLimit.unlimited, ...limits.share } });
    this.#weigh(bootingWeight);
  }

  #make(limits: VmLimits): void {
    this.#limits = limits;
    for (const { path, hierarchy } of this.#groups) {
      makeGroups(hierarchy, path);
      // A new group inherits the rules of its parent.
      if (hasDevices(hierarchy)) denyDevices(path);
      makeSeat(hierarchy, join(path, guestGroup));
      if (hierarchy.controllers === "v2") mkdirSync(join(path, launcherGroup));
    }
    this.#guardDevices();
    this.limitMemory(limits.memoryMb);
    this.limitProcessors(limits.processors, limits.share);
    if (limits.cpus !== undefined) this.useProcessors(limits.cpus);
  }

  /**
   * Moves a VM without containers below the group of a pod, with its limits and devices. The groups that it leaves are
   * removed once the guest sees the new ones. After a failure the VM has to be ended.
   */
  enterPod(pod: string): void {
    const limits = this.#limits;
    if (limits === undefined || this.#isInPod) throw new Error("only a VM that runs outside of pods can enter one");
    const left = this.#groups;
    const busy = left
      .flatMap(({ path }) => groupsBelow(join(path, guestGroup)))
      .find((group) => group.split("/").at(-2) === containersGroup);
    if (busy !== undefined) throw new Error(`the VM has a container: ${busy} exists`);
    const guard = this.#guard;
    this.#left = left;
    this.#groups = left.map(({ hierarchy }) => groupIn(hierarchy, pod, pod));
    this.#isInPod = true;
    this.#make(limits);
    for (const device of this.#grants.keys()) this.#writeDevices("devices.allow", `${device} rw`);
    this.#guard?.allow(this.#granted());
    this.#moveFrom(left);
    guard?.close();
  }

  #moveFrom(left: readonly VmGroup[]): void {
    for (let round = 0; round < movingRounds; round++) {
      let isEmpty = true;
      for (const [index, { path }] of left.entries()) {
        const target = this.#groups[index]?.path ?? path;
        for (const group of groupsBelow(path)) {
          const seat = group === join(path, launcherGroup) ? launcherGroup : guestGroup;
          for (const pid of processesOf(group)) {
            isEmpty = false;
            // It may have ended meanwhile.
            tolerateGone(() => moveProcess(pid, join(target, seat)), "ESRCH");
          }
        }
      }
      if (isEmpty) return;
    }
    throw new Error(`processes are still in ${left.map(({ path }) => path).join(", ")}`);
  }

  /** Removes the groups that the VM was in before it entered its pod. */
  async removeLeft(timeoutMs: number): Promise<void> {
    const left = this.#left;
    await removeAll(left, timeoutMs);
    this.#left = [];
    removeParents(left);
  }

  /** Ends the low priority of the boot. */
  endBoot({ processors, share }: Pick<VmLimits, "processors" | "share">): void {
    this.#weigh(processorLimit.defaultWeight);
    // In version 1 the document's weight replaces that of the boot.
    this.limitProcessors(processors, share);
  }

  #weigh(weight: number): void {
    for (const { top } of this.#groups) if (existsSync(top)) weighGroup(top, weight);
  }

  /** Throws an HcsFailure if the guest uses more and cannot release enough. */
  limitMemory(memoryMb: number): void {
    if (this.#limits !== undefined) this.#limits = { ...this.#limits, memoryMb };
    for (const group of this.#limited()) limitMemory(group, memoryMb);
  }

  limitProcessors(processors: number, share: ProcessorShare): void {
    if (this.#limits !== undefined) {
      this.#limits = { ...this.#limits, processors, share: { ...this.#limits.share, ...share } };
    }
    for (const group of this.#limited()) limitProcessors(groupsBelow(group), processors, share);
  }

  /** Restricts the VM to these processors; undefined for all. Containers in it lose their own sets. */
  useProcessors(cpus: string | undefined): void {
    if (this.#limits !== undefined) this.#limits = { ...this.#limits, cpus };
    for (const { path, hierarchy } of this.#groups) {
      const top = join(hierarchy.mountPoint, hierarchy.controllers === "v2" ? "cpuset.cpus.effective" : "cpuset.cpus");
      const all = tolerateGone(() => readFileSync(top, "utf8").trim());
      if (all === undefined) continue;
      const groups = hierarchy.controllers === "v2" ? this.#limited() : groupsBelow(path);
      useProcessors(groups, cpus ?? all, all);
    }
  }

  /** Usage as measured by the kernel. Throws an HcsFailure if nothing is measured. */
  usage(): MachineUsage {
    return readUsage(this.#groups.map(({ path }) => join(path, guestGroup)));
  }

  /**
   * Groups with the VM's limits: those beyond the guest's reach, and the roots of its own groups, where it sees the limits.
   */
  #limited(): readonly string[] {
    return this.#groups.flatMap(({ path }) => [path, join(path, guestGroup)]);
  }

  /** Throws on a temporary shortage of resources, so that a VM never runs unguarded because of one. */
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
    // Devices for all guests stay allowed.
    if (!basicDevices.includes(`${device} rwm`)) this.#writeDevices("devices.deny", `${device} rw`);
    // Last, so that a failed denial can be retried.
    this.#grants.delete(device);
  }

  /** Freezes all processes, or thaws them except those that the guest itself has frozen. */
  async freeze(isFrozen: boolean, timeoutMs: number): Promise<void> {
    const v1 = this.#groups.find(
      ({ hierarchy: { controllers } }) => controllers !== "v2" && controllers.has("freezer"),
    );
    const v2 = this.#groups.find(({ hierarchy }) => hierarchy.controllers === "v2");
    if (v1 !== undefined) {
      const state = join(v1.path, "freezer.state");
      const expected = isFrozen ? "FROZEN" : "THAWED";
      writeFileSync(state, expected);
      await until(() => readFileSync(state, "utf8").trim() === expected, `${state} is not ${expected}`, timeoutMs);
    } else if (v2 !== undefined) {
      const events = join(v2.path, guestGroup, "cgroup.events");
      const expected = `frozen ${isFrozen ? 1 : 0}`;
      writeFileSync(join(v2.path, guestGroup, "cgroup.freeze"), isFrozen ? "1" : "0");
      await until(
        () => readFileSync(events, "utf8").includes(expected),
        `${events} does not say ${expected}`,
        timeoutMs,
      );
    } else throw new Error("this machine has no cgroup freezer");
  }

  /**
   * Thaws frozen processes, since in version 1 a frozen process cannot die. Retries during a temporary shortage of
   * resources.
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

  /** Pids of all processes in the cgroups. Those of a threaded group are listed by its nearest domain group. */
  processes(): readonly number[] {
    const pids = new Set<number>();
    for (const { path } of this.#groups) {
      for (const group of groupsBelow(path)) {
        for (const pid of processesOf(group)) pids.add(pid);
      }
    }
    return [...pids];
  }

  /** Removes the cgroups and those below. Retries while ending processes keep them busy, or resources are short. */
  async remove(timeoutMs: number): Promise<void> {
    this.#guard?.close();
    this.#guard = undefined;
    await removeAll([...this.#groups, ...this.#left], timeoutMs);
    if (!this.#isInPod) removeParents(this.#groups);
    removeParents(this.#left);
  }

  /** Devices of all guests and of this one, except the device to remove. */
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
      // Groups of containers have their own rules; the kernel applies a removal to them too.
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
