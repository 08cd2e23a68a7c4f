/** The kernel's counters of a cgroup in the form of containerd's metrics. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { GuestFault } from "@uvm-shim/gcs-bridge";
import {
  type CgroupMetricsV1,
  type CgroupMetricsV2,
  type MemoryUsage,
  memoryCountersV1,
  memoryCountersV2,
  type PidsMetrics,
} from "@uvm-shim/hcs-schema";

/** USER_HZ, the unit of cpuacct.stat, is 100 on every architecture that guests run on. */
const nanosecondsPerTick = 1e9 / 100;
/** The value of `max` in version 2 metrics. */
const unlimited = 2 ** 64;

/** Version 1 names of memory.stat that containerd spells differently. */
const kernelNamesV1: { readonly [counter: string]: string } = {
  pg_pg_in: "pgpgin",
  pg_pg_out: "pgpgout",
  pg_fault: "pgfault",
  pg_maj_fault: "pgmajfault",
  total_pg_pg_in: "total_pgpgin",
  total_pg_pg_out: "total_pgpgout",
  total_pg_fault: "total_pgfault",
  total_pg_maj_fault: "total_pgmajfault",
  hierarchical_swap_limit: "hierarchical_memsw_limit",
};

/** What a container uses, in the fields in which Linux guests answer: of one of the two versions of cgroups. */
export interface GroupMetrics {
  readonly LCOWMetrics?: CgroupMetricsV1;
  readonly LCOWMetricsV2?: CgroupMetricsV2;
}

/**
 * Reads the metrics of a group of the cgroup version that is mounted at `root`. Throws a GuestFault if the group does
 * not exist.
 */
export function readGroupMetrics(root: string, path: string): GroupMetrics {
  const isV2 = existsSync(join(root, "cgroup.procs"));
  const known = isV2 ? join(root, path) : join(root, "memory", path);
  if (!existsSync(known))
    throw new GuestFault("HCS_E_INVALID_STATE", `cgroup ${path} does not exist: nothing runs in it`);
  return isV2
    ? { LCOWMetricsV2: metricsV2(join(root, path)) }
    : { LCOWMetrics: metricsV1((controller) => join(root, controller, path)) };
}

function metricsV1(group: (controller: string) => string): CgroupMetricsV1 {
  const cpuacct = group("cpuacct");
  const ticks = table(cpuacct, "cpuacct.stat");
  const throttling = table(group("cpu"), "cpu.stat");
  const memory = group("memory");
  const stat = table(memory, "memory.stat");
  const oom = table(memory, "memory.oom_control");
  return {
    pids: pidsOf(group("pids"), 0),
    cpu: {
      usage: {
        ...counter("total", number(cpuacct, "cpuacct.usage")),
        kernel: (ticks.get("system") ?? 0) * nanosecondsPerTick,
        user: (ticks.get("user") ?? 0) * nanosecondsPerTick,
        per_cpu: numbers(cpuacct, "cpuacct.usage_percpu"),
      },
      throttling: {
        ...counter("periods", throttling.get("nr_periods")),
        ...counter("throttled_periods", throttling.get("nr_throttled")),
        ...counter("throttled_time", throttling.get("throttled_time")),
      },
    },
    memory: {
      ...counters(memoryCountersV1, (name) => stat.get(kernelNamesV1[name] ?? name)),
      usage: memoryUsage(memory, "memory"),
      swap: memoryUsage(memory, "memory.memsw"),
      kernel: memoryUsage(memory, "memory.kmem"),
      kernel_tcp: memoryUsage(memory, "memory.kmem.tcp"),
    },
    memory_oom_control: {
      ...counter("oom_kill_disable", oom.get("oom_kill_disable")),
      ...counter("under_oom", oom.get("under_oom")),
      ...counter("oom_kill", oom.get("oom_kill")),
    },
  };
}

function memoryUsage(group: string, prefix: string): MemoryUsage {
  return {
    ...counter("limit", number(group, `${prefix}.limit_in_bytes`)),
    ...counter("usage", number(group, `${prefix}.usage_in_bytes`)),
    ...counter("max", number(group, `${prefix}.max_usage_in_bytes`)),
    ...counter("failcnt", number(group, `${prefix}.failcnt`)),
  };
}

function metricsV2(group: string): CgroupMetricsV2 {
  const cpu = table(group, "cpu.stat");
  const stat = table(group, "memory.stat");
  const events = table(group, "memory.events");
  const from = (rows: ReadonlyMap<string, number>) => (name: string) => rows.get(name);
  const cpuNames = ["usage_usec", "user_usec", "system_usec", "nr_periods", "nr_throttled", "throttled_usec"] as const;
  return {
    pids: pidsOf(group, unlimited),
    cpu: counters(cpuNames, from(cpu)),
    memory: {
      ...counters(memoryCountersV2, from(stat)),
      ...counter("usage", number(group, "memory.current")),
      ...counter("usage_limit", number(group, "memory.max")),
      ...counter("max_usage", number(group, "memory.peak")),
      ...counter("swap_usage", number(group, "memory.swap.current")),
      ...counter("swap_limit", number(group, "memory.swap.max")),
      ...counter("swap_max_usage", number(group, "memory.swap.peak")),
    },
    memory_events: counters(["low", "high", "max", "oom", "oom_kill", "oom_group_kill"], from(events)),
  };
}

function pidsOf(group: string, none: number): PidsMetrics {
  const limit = number(group, "pids.max");
  return {
    ...counter("current", number(group, "pids.current")),
    ...counter("limit", limit === unlimited ? none : limit),
  };
}

function counters<const Name extends string>(
  names: readonly Name[],
  value: (name: Name) => number | undefined,
): { readonly [Counter in Name]?: number } {
  return Object.assign({}, ...names.map((name) => counter(name, value(name))));
}

/** A counter that this kernel does not have is omitted. */
function counter<const Name extends string>(name: Name, value: number | undefined): { readonly [N in Name]?: number } {
  return (value === undefined ? {} : { [name]: value }) as { readonly [N in Name]?: number };
}

function number(group: string, file: string): number | undefined {
  const text = read(group, file)?.trim();
  if (text === undefined) return undefined;
  return text === "max" ? unlimited : Number(text);
}

function numbers(group: string, file: string): readonly number[] {
  const text = read(group, file)?.trim() ?? "";
  return text === "" ? [] : text.split(/\s+/).map(Number);
}

/** A file of one counter a line. */
function table(group: string, file: string): ReadonlyMap<string, number> {
  const rows = (read(group, file) ?? "").split("\n").map((line) => line.split(" "));
  return new Map(rows.flatMap(([name, value]) => (name && value ? [[name, Number(value)] as const] : [])));
}

// Controllers differ between kernels, and the group may be removed while it is read.
function read(group: string, file: string): string | undefined {
  try {
    return readFileSync(join(group, file), "utf8");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENODEV" || code === "EOPNOTSUPP") return undefined;
    throw error;
  }
}
