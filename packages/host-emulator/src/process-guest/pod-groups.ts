import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { HcsFailure } from "../hcs-failure.ts";
import {
  type Hierarchy,
  makeGroups,
  makeSeat,
  mountedHierarchies,
  moveProcess,
  processesOf,
  removeGroup,
  tolerateGone,
} from "./hierarchies.ts";
import { podPath } from "./pod-cgroup-path.ts";
import { groupInPod } from "./vm-group.ts";

/** What the cgroups of pods are kept with. */
export interface PodGroupsOptions {
  /** File that records the joined groups, for the host after a killed one. */
  readonly file: string;
  /** By default those of this machine. */
  readonly hierarchies?: readonly Hierarchy[];
  /** Content of /proc/<pid>/cgroup; undefined if the process does not exist. */
  readonly groupsOf?: (pid: number) => string | undefined;
  readonly report: (message: string) => void;
}

/** The group of one pod, in every hierarchy. */
interface Joined {
  readonly system: string;
  /** Path from the root of each hierarchy. */
  readonly path: string;
  /** Previous groups of the process that serves the pod, in the order of the hierarchies. */
  readonly origins: readonly string[];
}

interface Written {
  readonly joined: readonly Joined[];
  readonly made: readonly string[];
}

/** Below a pod's group, beside the VM's: version 2 wants no process in a group that hands controllers on. */
const serverGroup = "shim";
/** New processes may start while others are moved. */
const rounds = 10;

/**
 * Cgroups of pods, named by callers. They contain the VM of a pod, and the process that serves it while the VM runs.
 * Missing groups and parents are created here, and removed when no pod uses them.
 */
export class PodGroups {
  readonly #options: PodGroupsOptions;
  readonly #hierarchies: readonly Hierarchy[];
  readonly #joined = new Map<string, Joined>();
  /** Created groups, parents first. Several pods may share a parent. */
  readonly #made = new Set<string>();

  constructor(options: PodGroupsOptions) {
    this.#options = options;
    this.#hierarchies = options.hierarchies ?? mountedHierarchies();
  }

  /**
   * Has the machine of a system below the group of this name, and moves the process of this pid there. A process that
   * serves other pods too stays where it is: then there is none. Throws an HcsFailure.
   */
  join(system: string, name: string, pid?: number): void {
    const path = podPath(name);
    for (const other of this.#joined.values()) {
      if (other.system !== system && !overlap(other.path, path)) continue;
      throw new HcsFailure("ERROR_ALREADY_EXISTS", `path: ${other.path} is in use by compute system ${other.system}`);
    }
    const joined = { system, path, origins: pid === undefined ? [] : this.#originsOf(pid) };
    this.#joined.set(system, joined);
    try {
      this.#writeDown();
      for (const hierarchy of this.#hierarchies) {
        const group = join(hierarchy.mountPoint, path);
        for (const made of makeGroups(hierarchy, group)) this.#made.add(made);
        makeSeat(hierarchy, join(group, serverGroup));
        if (pid !== undefined) moveProcess(pid, join(group, serverGroup));
      }
      this.#writeDown();
    } catch (cause) {
      this.leave(system);
      const { code, message } = cause as NodeJS.ErrnoException;
      if (code === "ESRCH" && pid !== undefined) throw noProcess(pid);
      throw new HcsFailure("E_FAIL", `path: cannot join cgroup ${path}: ${message}`, { cause });
    }
  }

  /** The joined path of a system. */
  pathOf(system: string): string | undefined {
    return this.#joined.get(system)?.path;
  }

  /** Moves the serving process back after the end of the machine. Idempotent. */
  leave(system: string): void {
    const joined = this.#joined.get(system);
    if (joined === undefined) return;
    this.#joined.delete(system);
    const { path, origins } = joined;
    for (const [index, { mountPoint }] of this.#hierarchies.entries()) {
      const seat = join(mountPoint, path, serverGroup);
      try {
        empty(seat, [origins[index] ?? mountPoint, mountPoint]);
        if (!removeGroup(seat)) this.#options.report(`cannot remove cgroup ${seat}: it is in use`);
      } catch (error) {
        this.#options.report(`cannot leave cgroup ${seat}: ${(error as Error).message}`);
      }
    }
    this.#tidy();
  }

  /** Removes created groups without pods, and records the remaining ones. */
  #tidy(): void {
    const held = this.#held();
    // Parents come first in the list, and are removed after the last pod below them.
    for (const made of [...this.#made].toReversed()) {
      if (held.has(made)) continue;
      try {
        if (removeGroup(made)) this.#made.delete(made);
      } catch (error) {
        this.#options.report(`cannot remove cgroup ${made}: ${(error as Error).message}`);
      }
    }
    try {
      this.#writeDown();
    } catch (error) {
      // The system has ended even if the record cannot be written; the next host then finds no processes to move.
      this.#options.report(`cannot write ${this.#options.file}: ${(error as Error).message}`);
    }
  }

  /** Groups of existing pods, and their parents. */
  #held(): ReadonlySet<string> {
    const held = new Set<string>();
    for (const { path } of this.#joined.values()) {
      for (const { mountPoint } of this.#hierarchies) {
        for (let group = join(mountPoint, path); !held.has(group) && group !== mountPoint; group = dirname(group)) {
          held.add(group);
        }
      }
    }
    return held;
  }

  /** Leaves the groups of a killed host, after its machines have been removed. */
  recover(): void {
    const { file, report } = this.#options;
    const text = tolerateGone(() => readFileSync(file, "utf8"));
    if (text === undefined) return;
    try {
      const { joined, made } = JSON.parse(text) as Written;
      for (const one of joined) this.#joined.set(one.system, one);
      for (const group of made) this.#made.add(group);
    } catch (error) {
      report(`cannot read ${file}, cgroups of pods may be left over: ${(error as Error).message}`);
    }
    for (const system of [...this.#joined.keys()]) this.leave(system);
    this.#tidy();
  }

  #originsOf(pid: number): readonly string[] {
    const text = (this.#options.groupsOf ?? groupsOf)(pid);
    if (text === undefined) throw noProcess(pid);
    const lines = text.split("\n").map((line) => /^\d+:([^:]*):(.*)$/.exec(line));
    return this.#hierarchies.map((hierarchy) => {
      const path = lines.find((line) => line !== null && isOf(hierarchy, line[1] ?? ""))?.[2] ?? "/";
      return join(hierarchy.mountPoint, path);
    });
  }

  #writeDown(): void {
    const { file } = this.#options;
    if (this.#joined.size === 0 && this.#made.size === 0) {
      rmSync(file, { force: true });
      return;
    }
    const written: Written = { joined: [...this.#joined.values()], made: [...this.#made] };
    mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
    writeFileSync(`${file}.new`, JSON.stringify(written), { mode: 0o600 });
    renameSync(`${file}.new`, file);
  }
}

/** Whether two groups are the same or one is created below the other, so that ending one pod would end both. */
function overlap(one: string, other: string): boolean {
  if (one === other) return true;
  const [outer, inner] = one.length < other.length ? [one, other] : [other, one];
  return [groupInPod, serverGroup].some((name) => `${inner}/`.startsWith(`${outer}/${name}/`));
}

/** Whether a line of /proc/<pid>/cgroup belongs to the hierarchy. */
function isOf({ mountPoint, controllers }: Hierarchy, named: string): boolean {
  if (controllers === "v2") return named === "";
  if (controllers.size === 0) return named === `name=${basename(mountPoint)}`;
  return named.split(",").some((controller) => controllers.has(controller));
}

/** Moves all processes of a group to the first other group that accepts them. */
function empty(group: string, others: readonly string[]): void {
  for (let round = 0; round < rounds; round++) {
    const pids = processesOf(group);
    if (pids.length === 0) return;
    for (const pid of pids) {
      const refusals: unknown[] = [];
      const isMoved = others.some((other) => {
        try {
          moveProcess(pid, other);
          return true;
        } catch (error) {
          refusals.push(error);
          // The process has ended.
          return (error as NodeJS.ErrnoException).code === "ESRCH";
        }
      });
      if (!isMoved) throw refusals[0];
    }
  }
}

function groupsOf(pid: number): string | undefined {
  return tolerateGone(() => readFileSync(`/proc/${pid}/cgroup`, "utf8"), "ESRCH");
}

function noProcess(pid: number): HcsFailure {
  return new HcsFailure("E_INVALIDARG", `pid: process ${pid} does not exist`);
}
