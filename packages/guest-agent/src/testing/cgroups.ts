import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { delay } from "@uvm-shim/lifecycle";

const cgroupRoot = "/sys/fs/cgroup";

/** The cgroups of one machine, in every hierarchy. */
export function makeCgroups(name: string): readonly string[] {
  const bases = existsSync(join(cgroupRoot, "cgroup.procs"))
    ? [cgroupRoot]
    : readdirSync(cgroupRoot).map((entry) => join(cgroupRoot, entry));
  return bases.map((base) => {
    const group = join(base, name);
    mkdirSync(group);
    for (const file of ["cpuset.cpus", "cpuset.mems"]) {
      if (existsSync(join(group, file))) writeFileSync(join(group, file), readFileSync(join(base, file)));
    }
    return group;
  });
}

function groupsBelow(folder: string): string[] {
  const below = readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  return [folder, ...below.flatMap((entry) => groupsBelow(join(folder, entry.name)))];
}

/** The cgroups must be empty, or become so within a second. */
export async function removeCgroups(groups: readonly string[]): Promise<void> {
  for (const group of groups.flatMap((root) => groupsBelow(root).toReversed())) {
    for (let attempt = 0; ; attempt++) {
      try {
        rmdirSync(group);
        break;
      } catch (error) {
        if (attempt === 100) throw error;
        await delay(10);
      }
    }
  }
}
