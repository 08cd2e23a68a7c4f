import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { HcsFailure } from "../hcs-failure.ts";
import { groupInPod } from "./cgroups.ts";
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

export interface PodGroupsOptions {
  /** Where it is written down what was joined, for the host after one that was killed. */
  readonly file: string;
  /** Those of this machine by default. */
  readonly hierarchies?: readonly Hierarchy[];
  /** The text of a process's /proc/<pid>/cgroup; undefined where there is no such process. */
  readonly groupsOf?: (pid: number) => string | undefined;
  readonly report: (message: string) => void;
}

/** One pod's group, in every hierarchy. */
interface Joined {
  readonly system: string;
  /** From the root of each hierarchy. */
  readonly path: string;
  /** Where the process that serves the pod came from, in the order of the hierarchies. */
  readonly origins: readonly string[];
}

interface Written {
  readonly joined: readonly Joined[];
  readonly made: readonly string[];
}

/** Below a pod's group, beside the VM's: version 2 wants no process in a group that hands controllers on. */
const serverGroup = "shim";
/** Processes may come to be while others are moved. */
const rounds = 10;

/**
 * The cgroups of pods, which callers name: whoever serves a pod stands there while its VM lives, and the VM below. They
 * are made here with all above that there is not yet, and what was made here is removed.
 */
export class PodGroups {
  readonly #options: PodGroupsOptions;
  readonly #hierarchies: readonly Hierarchy[];
  readonly #joined = new Map<string, Joined>();
  /** Groups that were made here, each behind those above it. Those above pods' own may be several pods'. */
  readonly #made = new Set<string>();

  constructor(options: PodGroupsOptions) {
    this.#options = options;
    this.#hierarchies = options.hierarchies ?? mountedHierarchies();
  }

  /** Has a process stand in the group of this name, and the machine of a system below it. Throws an HcsFailure. */
  join(system: string, name: string, pid: number): void {
    const path = podPath(name);
    for (const other of this.#joined.values()) {
      if (other.system !== system && !overlap(other.path, path)) continue;
      throw new HcsFailure("ERROR_ALREADY_EXISTS", `path: compute system ${other.system} has joined ${other.path}`);
    }
    const joined = { system, path, origins: this.#originsOf(pid) };
    this.#joined.set(system, joined);
    try {
      this.#writeDown();
      for (const hierarchy of this.#hierarchies) {
        const group = join(hierarchy.mountPoint, path);
        for (const made of makeGroups(hierarchy, group)) this.#made.add(made);
        makeSeat(hierarchy, join(group, serverGroup));
        moveProcess(pid, join(group, serverGroup));
      }
      this.#writeDown();
    } catch (cause) {
      this.leave(system);
      const { code, message } = cause as NodeJS.ErrnoException;
      if (code === "ESRCH") throw noProcess(pid);
      throw new HcsFailure("E_FAIL", `path: cgroup ${path} cannot be joined: ${message}`, { cause });
    }
  }

  /** The path that a system has joined. */
  pathOf(system: string): string | undefined {
    return this.#joined.get(system)?.path;
  }

  /** Returns who serves the pod to where it came from, once its machine has gone. Repeatable. */
  leave(system: string): void {
    const joined = this.#joined.get(system);
    if (joined === undefined) return;
    this.#joined.delete(system);
    const { path, origins } = joined;
    for (const [index, { mountPoint }] of this.#hierarchies.entries()) {
      const seat = join(mountPoint, path, serverGroup);
      try {
        empty(seat, [origins[index] ?? mountPoint, mountPoint]);
        if (!removeGroup(seat)) this.#options.report(`cgroup ${seat} is in use, and stays`);
      } catch (error) {
        this.#options.report(`cgroup ${seat} cannot be left: ${(error as Error).message}`);
      }
    }
    this.#tidy();
  }

  /** Removes what was made here and holds no pod any more, and writes down what is left. */
  #tidy(): void {
    const held = this.#held();
    // Those above others come before them, and go when the last pod has gone.
    for (const made of [...this.#made].toReversed()) {
      if (held.has(made)) continue;
      try {
        if (removeGroup(made)) this.#made.delete(made);
      } catch (error) {
        this.#options.report(`cgroup ${made} cannot be removed: ${(error as Error).message}`);
      }
    }
    try {
      this.#writeDown();
    } catch (error) {
      // The system has ended whether there is room for the note or not: the next host finds nothing there to leave.
      this.#options.report(`${this.#options.file} cannot be written: ${(error as Error).message}`);
    }
  }

  /** The groups of the pods there are, and those above them. */
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

  /** Leaves what a host that was killed had joined, after its machines have been removed. */
  recover(): void {
    const { file, report } = this.#options;
    const text = tolerateGone(() => readFileSync(file, "utf8"));
    if (text === undefined) return;
    try {
      const { joined, made } = JSON.parse(text) as Written;
      for (const one of joined) this.#joined.set(one.system, one);
      for (const group of made) this.#made.add(group);
    } catch (error) {
      report(`${file} cannot be read, cgroups of pods may be left: ${(error as Error).message}`);
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

/** Whether two pods' groups are one, or one lies in what is made below the other: what ends that would end both. */
function overlap(one: string, other: string): boolean {
  if (one === other) return true;
  const [outer, inner] = one.length < other.length ? [one, other] : [other, one];
  return [groupInPod, serverGroup].some((name) => `${inner}/`.startsWith(`${outer}/${name}/`));
}

/** Whether a line of /proc/<pid>/cgroup with these controllers is about the hierarchy. */
function isOf({ mountPoint, controllers }: Hierarchy, named: string): boolean {
  if (controllers === "v2") return named === "";
  if (controllers.size === 0) return named === `name=${basename(mountPoint)}`;
  return named.split(",").some((controller) => controllers.has(controller));
}

/** Moves all processes of a group to the first of others that takes them. */
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
          // It has ended.
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
  return new HcsFailure("E_INVALIDARG", `pid: there is no process ${pid}`);
}
