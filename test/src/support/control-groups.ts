import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseMountinfo } from "../leaks/mountinfo.ts";

export interface ControlGroup {
  /** Where its hierarchy is mounted. */
  readonly mountPoint: string;
  readonly path: string;
  /** A nested group for the processes: version 2 allows none in a group that has groups of its own. */
  readonly seat: string;
}

const CPUSET_FILES = ["cpuset.cpus", "cpuset.mems"];
/** Of version 1, and of version 2. */
const MEMORY_LIMIT_FILES = ["memory.limit_in_bytes", "memory.max"];
const REMOVE_ATTEMPTS = 50;
const REMOVE_PAUSE_MS = 100;

/** One control group of a name in every hierarchy of the machine, to be the root of a control group namespace. */
export class ControlGroups {
  readonly groups: readonly (ControlGroup & { readonly version: 1 | 2 })[];

  /** Whether they are there or not. */
  constructor(name: string) {
    this.groups = parseMountinfo(readFileSync("/proc/self/mountinfo", "utf8"))
      .filter(({ type }) => type === "cgroup" || type === "cgroup2")
      .map(({ point, type }) => {
        const path = join(point, name);
        return { mountPoint: point, path, seat: join(path, "suite"), version: type === "cgroup2" ? 2 : 1 };
      });
  }

  /** Needs root. What fails half-way, `remove` removes. */
  make(): void {
    for (const { mountPoint, path, seat, version } of this.groups) {
      mkdirSync(path);
      if (version === 2) delegateControllers(mountPoint);
      else inheritCpuset(mountPoint, path);
      mkdirSync(seat);
      if (version === 1) inheritCpuset(path, seat);
    }
  }

  hasProcesses(): boolean {
    return this.groups.some(({ path }) => hasProcesses(path));
  }

  /** Limits the memory of everything that runs in them. Throws when no hierarchy can. */
  limitMemory(bytes: number): void {
    for (const { path } of this.groups) {
      for (const file of MEMORY_LIMIT_FILES) {
        if (!existsSync(join(path, file))) continue;
        writeFileSync(join(path, file), `${bytes}`);
        return;
      }
    }
    throw new Error(
      `no control group hierarchy of this machine limits memory: expected ${MEMORY_LIMIT_FILES.join(" or ")}`,
    );
  }

  /** Removes them with all nested groups, once no process is left in them. */
  async remove(): Promise<void> {
    for (const { path } of this.groups) await removeGroup(path);
  }
}

/** Gives nested groups the controllers that there are. A root that is not the machine's own may be unable to. */
function delegateControllers(group: string): void {
  const controllers = readFileSync(join(group, "cgroup.controllers"), "utf8").trim().split(" ");
  for (const controller of controllers.filter((word) => word !== "")) {
    try {
      writeFileSync(join(group, "cgroup.subtree_control"), `+${controller}`);
    } catch {
      // The suite then does without this controller, as the machine's other groups do.
    }
  }
}

/** A new group of version 1 has no processors and takes no process before it has. */
function inheritCpuset(from: string, to: string): void {
  for (const file of CPUSET_FILES) {
    if (existsSync(join(to, file))) writeFileSync(join(to, file), readFileSync(join(from, file)));
  }
}

function hasProcesses(group: string): boolean {
  if (!existsSync(group)) return false;
  // In version 2 this covers all nested groups, also threaded ones, whose own files do not say.
  const events = join(group, "cgroup.events");
  if (existsSync(events)) return readFileSync(events, "utf8").includes("populated 1");
  if (readFileSync(join(group, "cgroup.procs"), "utf8") !== "") return true;
  const nested = readdirSync(group, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  return nested.some(({ name }) => hasProcesses(join(group, name)));
}

async function removeGroup(path: string): Promise<void> {
  if (!existsSync(path)) return;
  for (const entry of readdirSync(path, { withFileTypes: true })) {
    if (entry.isDirectory()) await removeGroup(join(path, entry.name));
  }
  for (let attempt = 1; ; attempt += 1) {
    try {
      rmdirSync(path);
      return;
    } catch (error) {
      // Processes that were killed take a moment to be gone.
      if ((error as NodeJS.ErrnoException).code !== "EBUSY" || attempt === REMOVE_ATTEMPTS) throw error;
      await sleep(REMOVE_PAUSE_MS);
    }
  }
}
