/** Limits of one VM's cgroup and what the kernel measures there, in version 1 and 2. */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { processorLimit } from "@uvm-shim/hcs-schema";
import type { MachineUsage, ProcessorShare } from "../guest-machine.ts";
import { HcsFailure } from "../hcs-failure.ts";

const mebibyte = 2 ** 20;
const cpuPeriodMicroseconds = 100_000;
/** The kernel takes no less. */
const smallestQuotaMicroseconds = 1_000;
/** cpu.shares of a group of default weight, and what the kernel takes. */
const defaultShares = 1024;
const sharesRange = { least: 2, most: 262_144 } as const;
/** Units of cpuacct.stat a second, which Linux never changes for programs. */
const clockTicksPerSecond = 100;
const nanosecondsPerMicrosecond = 1_000;

export function limitMemory(group: string, memoryMb: number): void {
  const v1 = join(group, "memory.limit_in_bytes");
  if (existsSync(v1)) {
    try {
      writeFileSync(v1, String(memoryMb * mebibyte));
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code !== "EBUSY") throw cause;
      throw tooSmall(memoryMb, readNumber(join(group, "memory.usage_in_bytes")), cause);
    }
    return;
  }
  const v2 = join(group, "memory.max");
  if (!existsSync(v2)) return;
  // Version 2 would take a limit that is too small, and then kill.
  const excess = (): number => readNumber(join(group, "memory.current")) - memoryMb * mebibyte;
  if (excess() > 0) reclaim(group, excess());
  if (excess() > 0) throw tooSmall(memoryMb, readNumber(join(group, "memory.current")));
  writeFileSync(v2, String(memoryMb * mebibyte));
}

function reclaim(group: string, bytes: number): void {
  try {
    writeFileSync(join(group, "memory.reclaim"), String(bytes));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // EAGAIN: less than that could be given back. Kernels before 5.19 have no such file.
    if (code !== "EAGAIN" && code !== "ENOENT" && code !== "EINVAL") throw error;
  }
}

function tooSmall(memoryMb: number, used: number, cause?: unknown): HcsFailure {
  const inUse = Math.ceil(used / mebibyte);
  return new HcsFailure("E_OUTOFMEMORY", `${memoryMb} MiB of memory is too little: the guest uses ${inUse} MiB`, {
    cause,
  });
}

/**
 * Limits a VM of so many processors. In version 1 no group below may have more than the one above it, where a
 * hypervisor knows nothing of its guest's groups: those that have are limited alike.
 */
export function limitProcessors(
  groups: readonly string[],
  processors: number,
  { limit, weight }: ProcessorShare,
): void {
  const [group] = groups;
  if (group === undefined) return;
  if (limit !== undefined) {
    const full = processors * cpuPeriodMicroseconds;
    const quota = Math.max(smallestQuotaMicroseconds, Math.round((full * limit) / processorLimit.unlimited));
    writePresent(join(group, "cpu.max"), `${quota} ${cpuPeriodMicroseconds}`);
    for (const below of groups.slice(1).reverse()) lowerQuota(below, quota / cpuPeriodMicroseconds);
    if (existsSync(join(group, "cpu.cfs_quota_us"))) {
      writeFileSync(join(group, "cpu.cfs_period_us"), String(cpuPeriodMicroseconds));
      writeFileSync(join(group, "cpu.cfs_quota_us"), String(quota));
    }
  }
  if (weight !== undefined) weighGroup(group, weight);
}

/** Weighs a group against those beside it, as HCS weighs VMs. */
export function weighGroup(group: string, weight: number): void {
  const shares = Math.round((defaultShares * weight) / processorLimit.defaultWeight);
  const { least, most } = sharesRange;
  writePresent(join(group, "cpu.weight"), String(weight));
  writePresent(join(group, "cpu.shares"), String(Math.min(most, Math.max(least, shares))));
}

function lowerQuota(group: string, processors: number): void {
  const file = join(group, "cpu.cfs_quota_us");
  if (!existsSync(file)) return;
  const period = readNumber(join(group, "cpu.cfs_period_us"));
  if (readNumber(file) <= processors * period) return;
  writeFileSync(file, String(Math.max(smallestQuotaMicroseconds, Math.floor(processors * period))));
}

/**
 * Keeps groups, parents first, to these processors. In version 1 a group must have all those of the groups below it:
 * so all are widened from the top, and narrowed from the bottom.
 */
export function useProcessors(groups: readonly string[], cpus: string, all: string): void {
  for (const group of groups) writePresent(join(group, "cpuset.cpus"), all);
  for (const group of groups.toReversed()) writePresent(join(group, "cpuset.cpus"), cpus);
}

/** What a VM has used by its groups, of which each hierarchy that has a controller knows a part. */
export function readUsage(groups: readonly string[]): MachineUsage {
  const find = (file: string): string | undefined => groups.find((group) => existsSync(join(group, file)));
  const unmeasured = (what: string): HcsFailure =>
    new HcsFailure("ERROR_NOT_SUPPORTED", `this machine measures no ${what}: it has no cgroup controller for that`);
  return { ...processorUsage(find, unmeasured), ...memoryUsage(find, unmeasured) };
}

type Find = (file: string) => string | undefined;
type Unmeasured = (what: string) => HcsFailure;

function processorUsage(find: Find, unmeasured: Unmeasured) {
  const v1 = find("cpuacct.usage");
  if (v1 !== undefined) {
    const ticks = readTable(join(v1, "cpuacct.stat"));
    const nanoseconds = (name: string): number => ((ticks.get(name) ?? 0) * 1e9) / clockTicksPerSecond;
    return {
      processorNs: readNumber(join(v1, "cpuacct.usage")),
      processorUserNs: nanoseconds("user"),
      processorKernelNs: nanoseconds("system"),
    };
  }
  const v2 = find("cpu.stat");
  const table = v2 === undefined ? undefined : readTable(join(v2, "cpu.stat"));
  if (table?.has("usage_usec") !== true) throw unmeasured("processor time");
  const nanoseconds = (name: string): number => (table.get(name) ?? 0) * nanosecondsPerMicrosecond;
  return {
    processorNs: nanoseconds("usage_usec"),
    processorUserNs: nanoseconds("user_usec"),
    processorKernelNs: nanoseconds("system_usec"),
  };
}

function memoryUsage(find: Find, unmeasured: Unmeasured) {
  const v1 = find("memory.usage_in_bytes");
  if (v1 !== undefined) {
    return {
      memoryBytes: readNumber(join(v1, "memory.usage_in_bytes")),
      memoryLimitBytes: readNumber(join(v1, "memory.limit_in_bytes")),
    };
  }
  const v2 = find("memory.current");
  if (v2 === undefined) throw unmeasured("memory");
  return {
    memoryBytes: readNumber(join(v2, "memory.current")),
    memoryLimitBytes: readNumber(join(v2, "memory.max")),
  };
}

function readTable(path: string): ReadonlyMap<string, number> {
  const rows = readFileSync(path, "utf8").trim().split("\n");
  return new Map(rows.map((row) => row.split(" ")).map(([name = "", value = ""]) => [name, Number(value)]));
}

function readNumber(path: string): number {
  return Number(readFileSync(path, "utf8"));
}

function writePresent(path: string, text: string): void {
  if (existsSync(path)) writeFileSync(path, text);
}
