import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";

const HIERARCHIES = [
  { mountPoint: "/sys/fs/cgroup/cpu", line: /^\d+:(?:\S+,)?cpu(?:,\S+)?:(.*)$/m },
  { mountPoint: "/sys/fs/cgroup", line: /^0::(.*)$/m },
] as const;

/** How many processors' time the control groups of a process give it; infinite without a limit. */
export function processorQuota(pid: number): number {
  const text = readFileSync(`/proc/${pid}/cgroup`, "utf8");
  const quotas = HIERARCHIES.flatMap(({ mountPoint, line }) => {
    const group = line.exec(text)?.[1];
    return group === undefined ? [] : groupsAbove(group).map((each) => quotaOf(join(mountPoint, each)));
  });
  return Math.min(...quotas);
}

function groupsAbove(group: string): readonly string[] {
  return group === "/" ? [group] : [group, ...groupsAbove(dirname(group))];
}

function quotaOf(group: string): number {
  const read = (name: string): string => readFileSync(join(group, name), "utf8").trim();
  const [quota, period] = existsSync(join(group, "cpu.cfs_quota_us"))
    ? [read("cpu.cfs_quota_us"), read("cpu.cfs_period_us")]
    : existsSync(join(group, "cpu.max"))
      ? read("cpu.max").split(" ")
      : [];
  const processors = Number(quota) / Number(period);
  return processors > 0 ? processors : Number.POSITIVE_INFINITY;
}
