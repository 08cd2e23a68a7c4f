/** Limits and measurements of a VM's cgroup, in version 1 and 2. */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { processorLimit } from "@uvm-shim/hcs-schema";
import type { MachineUsage, ProcessorShare } from "../guest-machine.ts";
import { HcsFailure } from "../hcs-failure.ts";

const mebibyte = 2 ** 20;
const cpuPeriodMicroseconds = 100_000;
/** Minimum of the kernel. */
const smallestQuotaMicroseconds = 1_000;
/** cpu.shares of a group of default weight, and the limits of the kernel. */
const defaultShares = 1024;
const sharesRange = { least: 2, most: 262_144 } as const;
/** Units of cpuacct.stat per second (USER_HZ), constant on Linux. */
const clockTicksPerSecond = 100;
const nanosecondsPerMicrosecond = 1_000;

/** Limits the memory of a cgroup, in either version. HcsFailure if more is in use. */
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
  // Version 2 would accept a limit that is too small and kill processes.
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
    // EAGAIN: less memory could be released. Kernels before 5.19 do not have this file.
    if (code !== "EAGAIN" && code !== "ENOENT" && code !== "EINVAL") throw error;
  }
}

function tooSmall(memoryMb: number, used: number, cause?: unknown): HcsFailure {
  const inUse = Math.ceil(used / mebibyte);
  return new HcsFailure("E_OUTOFMEMORY", `memory limit ${memoryMb} MiB is too small: the guest uses ${inUse} MiB`, {
    cause,
  });
}

/**
 * Limits the processor time of a VM. In version 1 no group may exceed the limit of its parent, so groups of the guest
 * that do are limited too; a hypervisor would not see them.
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

/** Sets the processor weight of a group, in units of HCS. */
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
 * Restricts groups, parents first, to these processors. In version 1 a group must contain the processors of all groups
 * below it, so sets are widened from the top and narrowed from the bottom.
 */
export function useProcessors(groups: readonly string[], cpus: string, all: string): void {
  for (const group of groups) writePresent(join(group, "cpuset.cpus"), all);
  for (const group of groups.toReversed()) writePresent(join(group, "cpuset.cpus"), cpus);
}

/** Usage of a VM, collected from its groups in all hierarchies. */
export function readUsage(groups: readonly string[]): MachineUsage {
  const find = (file: string): string | undefined => groups.find((group) => existsSync(join(group, file)));
  const unmeasured = (what: string): HcsFailure =>
    new HcsFailure("ERROR_NOT_SUPPORTED", `cannot measure ${what}: this machine has no cgroup controller for it`);
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
