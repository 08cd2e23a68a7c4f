/** The control groups of a container, on either version of them. */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { agentFolders, cgroupPathOf, removeCgroups } from "@uvm-shim/guest-agent-common";
import { delay } from "@uvm-shim/lifecycle";

export interface ContainerLimits {
  /** In bytes. */
  readonly memory?: number;
  /** Number of processors. */
  readonly count?: number;
  /** In hundredths of a percent of the virtual machine's processors. */
  readonly maximum?: number;
  /** Relative, where 100 is usual. */
  readonly weight?: number;
  readonly storage?: StorageLimits;
}

/** Per second, of a disk; 0 for none. */
export interface StorageLimits {
  /** Its major and minor number, joined by a colon. */
  readonly device: string;
  readonly bytes: number;
  readonly operations: number;
}

const period = 100_000;
const leastQuota = 1_000;
const fullShare = 10_000;
const usualWeight = 100;
const usualShares = 1_024;
const leastShares = 2;
const removalPauseMs = 5;
const removalAttempts = 200;

export class ContainerGroups {
  readonly #id: string;
  readonly #root: string;
  readonly #processors: number;

  private constructor(id: string, processors: number, root: string) {
    this.#id = id;
    this.#processors = processors;
    this.#root = root;
  }

  /** `processors` are those of the virtual machine. */
  static make(id: string, processors: number, root: string = agentFolders.cgroups): ContainerGroups {
    const groups = new ContainerGroups(id, processors, root);
    for (const base of groups.#bases()) {
      const steps = cgroupPathOf(id)
        .split("/")
        .filter((name) => name !== "");
      let folder = base;
      for (const step of steps) {
        const parent = folder;
        delegate(parent);
        folder = join(folder, step);
        mkdirSync(folder, { recursive: true });
        inheritProcessors(parent, folder);
      }
    }
    return groups;
  }

  /** Files that take the ids of the container's processes. */
  get entrances(): readonly string[] {
    return this.#folders().map((folder) => join(folder, "cgroup.procs"));
  }

  /** Changes those limits that are given. */
  limit({ memory, count, maximum, weight, storage }: ContainerLimits): void {
    for (const folder of this.#folders()) {
      const set = (file: string, value: string | number): void => {
        if (existsSync(join(folder, file))) writeFileSync(join(folder, file), String(value));
      };
      if (memory !== undefined) {
        set("memory.limit_in_bytes", memory);
        set("memory.max", memory);
      }
      if (count !== undefined) set("cpuset.cpus", firstProcessors(folder, count));
      if (maximum !== undefined) {
        const quota = Math.max(leastQuota, Math.round((maximum * this.#processors * period) / fullShare));
        unlessTighterAbove(() => set("cpu.cfs_quota_us", maximum === 0 ? -1 : quota));
        set("cpu.max", `${maximum === 0 ? "max" : quota} ${period}`);
      }
      if (weight !== undefined && weight > 0) {
        set("cpu.shares", Math.max(leastShares, Math.round((weight * usualShares) / usualWeight)));
        set("cpu.weight", weight);
      }
      if (storage !== undefined) for (const [file, line] of storageLines(storage)) set(file, line);
    }
  }

  /** The lines of a file in whichever group has it; none where no group has it. */
  lines(file: string): readonly string[] {
    const folder = this.#folders().find((candidate) => existsSync(join(candidate, file)));
    return folder === undefined ? [] : readFileSync(join(folder, file), "utf8").trim().split("\n");
  }

  /** After the end of all processes, of which the kernel may still hold some for a moment. */
  async remove(): Promise<void> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        removeCgroups(this.#id, this.#root);
        return;
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "EBUSY" || attempt === removalAttempts) throw error;
        await delay(removalPauseMs);
      }
    }
  }

  /** One folder for each hierarchy. */
  #bases(): readonly string[] {
    if (existsSync(join(this.#root, "cgroup.procs"))) return [this.#root];
    const entries = readdirSync(this.#root, { withFileTypes: true });
    return entries.filter((entry) => entry.isDirectory()).map(({ name }) => join(this.#root, name));
  }

  #folders(): readonly string[] {
    return this.#bases()
      .map((base) => join(base, cgroupPathOf(this.#id)))
      .filter((folder) => existsSync(folder));
  }
}

/** Version 1 refuses a quota beyond that of the virtual machine, which holds anyway. */
function unlessTighterAbove(act: () => void): void {
  try {
    act();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EINVAL") throw error;
  }
}

function storageLines({
  device,
  bytes,
  operations,
}: StorageLimits): readonly (readonly [file: string, line: string])[] {
  const both = (what: string, value: number) =>
    ["read", "write"].map((verb) => [`blkio.throttle.${verb}_${what}_device`, `${device} ${value}`] as const);
  const most = (value: number): number | "max" => (value === 0 ? "max" : value);
  const [rate, count] = [most(bytes), most(operations)];
  return [
    ...both("bps", bytes),
    ...both("iops", operations),
    ["io.max", `${device} rbps=${rate} wbps=${rate} riops=${count} wiops=${count}`],
  ];
}

/** Version 2 has the files of a controller only where the parent has delegated it. */
function delegate(parent: string): void {
  const control = join(parent, "cgroup.subtree_control");
  if (!existsSync(control)) return;
  const controllers = readFileSync(join(parent, "cgroup.controllers"), "utf8").trim().split(" ");
  for (const controller of controllers.filter((name) => name !== "")) {
    try {
      writeFileSync(control, `+${controller}`);
    } catch (error) {
      // As the guest's own groups do without it: see delegateControllers.
      if (!["EINVAL", "ENOENT", "ENOTSUP"].includes((error as NodeJS.ErrnoException).code ?? "")) throw error;
    }
  }
}

/** A new group of version 1 has no processors and no memory nodes, and takes no process. */
function inheritProcessors(parent: string, folder: string): void {
  for (const file of ["cpuset.cpus", "cpuset.mems"]) {
    const own = join(folder, file);
    if (existsSync(join(parent, "cgroup.subtree_control")) || !existsSync(own)) continue;
    if (readFileSync(own, "utf8").trim() === "") writeFileSync(own, readFileSync(join(parent, file)));
  }
}

function firstProcessors(folder: string, count: number): string {
  const parent = join(folder, "..");
  const files = ["cpuset.cpus.effective", "cpuset.effective_cpus", "cpuset.cpus"].map((name) => join(parent, name));
  const allowed = files
    .map((file) => (existsSync(file) ? readFileSync(file, "utf8").trim() : ""))
    .find((text) => text !== "");
  return processorsIn(allowed ?? "")
    .slice(0, count)
    .join(",");
}

/** The numbers of a list such as `0-2,5`. */
function processorsIn(list: string): readonly number[] {
  return list.split(",").flatMap((range) => {
    if (range === "") return [];
    const [first = 0, last = first] = range.split("-").map(Number);
    return Array.from({ length: last - first + 1 }, (_, index) => first + index);
  });
}
