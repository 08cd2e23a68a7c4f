/**
 * A Linux guest's measurements of a container, in the JSON form of containerd's cgroup metrics. A guest with version 1
 * of cgroups returns `LCOWMetrics`, as the reference guest does, and one with version 2 alone returns `LCOWMetricsV2`.
 */
import { answerObject, type CopyingCheck, type CopyingFields, list, madeOf, optional, SchemaError } from "../check.ts";
import { checkCounter } from "../document/resource-checks.ts";

type Counters<Name extends string> = { readonly [Counter in Name]?: number };

/** Counters of memory.stat in version 1, in the order of containerd's message. Most also exist as `total_`. */
const memoryCounters = [
  "cache",
  "rss",
  "rss_huge",
  "mapped_file",
  "dirty",
  "writeback",
  "pg_pg_in",
  "pg_pg_out",
  "pg_fault",
  "pg_maj_fault",
  "inactive_anon",
  "active_anon",
  "inactive_file",
  "active_file",
  "unevictable",
] as const;
type MemoryCounter = (typeof memoryCounters)[number];

/**
 * All counters of memory.stat in version 1, bytes or events, by containerd's names: those of the group itself, the
 * limits it inherits, and those with its descendants (`total_`). Source: the kernel's documentation of cgroups v1, and
 * io.containerd.cgroups.v1.
 */
export const memoryCountersV1 = [
  ...memoryCounters,
  "hierarchical_memory_limit",
  "hierarchical_swap_limit",
  ...memoryCounters.map((name) => `total_${name}` as const),
] as const satisfies readonly (MemoryCounter | `total_${MemoryCounter}` | `hierarchical_${string}`)[];

/** Counters of memory.stat in version 2. */
export const memoryCountersV2 = [
  "anon",
  "file",
  "kernel_stack",
  "slab",
  "sock",
  "shmem",
  "file_mapped",
  "file_dirty",
  "file_writeback",
  "anon_thp",
  "inactive_anon",
  "active_anon",
  "inactive_file",
  "active_file",
  "unevictable",
  "slab_reclaimable",
  "slab_unreclaimable",
  "pgfault",
  "pgmajfault",
  "workingset_refault",
  "workingset_activate",
  "workingset_nodereclaim",
  "pgrefill",
  "pgscan",
  "pgsteal",
  "pgactivate",
  "pgdeactivate",
  "pglazyfree",
  "pglazyfreed",
  "thp_fault_alloc",
  "thp_collapse_alloc",
] as const;

const memoryLimitsV2 = ["usage", "usage_limit", "swap_usage", "swap_limit", "max_usage", "swap_max_usage"] as const;
const cpuCountersV2 = [
  "usage_usec",
  "user_usec",
  "system_usec",
  "nr_periods",
  "nr_throttled",
  "throttled_usec",
] as const;
const memoryEventNames = ["low", "high", "max", "oom", "oom_kill", "oom_group_kill"] as const;

/** Usage of one kind of memory in version 1: bytes now, at most, and allowed, and how often the limit was hit. */
export type MemoryUsage = Counters<"limit" | "usage" | "max" | "failcnt">;
/** Number of processes and threads now, and the most that is allowed. */
export type PidsMetrics = Counters<"current" | "limit">;

/** Nanoseconds and bytes. */
export interface CgroupMetricsV1 {
  readonly pids?: PidsMetrics;
  readonly cpu?: {
    readonly usage?: Counters<"total" | "kernel" | "user"> & { readonly per_cpu?: readonly number[] };
    readonly throttling?: Counters<"periods" | "throttled_periods" | "throttled_time">;
  };
  readonly memory?: Counters<(typeof memoryCountersV1)[number]> & {
    readonly usage?: MemoryUsage;
    readonly swap?: MemoryUsage;
    readonly kernel?: MemoryUsage;
    readonly kernel_tcp?: MemoryUsage;
  };
  readonly memory_oom_control?: Counters<"oom_kill_disable" | "under_oom" | "oom_kill">;
}

/** Microseconds and bytes. */
export interface CgroupMetricsV2 {
  readonly pids?: PidsMetrics;
  readonly cpu?: Counters<(typeof cpuCountersV2)[number]>;
  readonly memory?: Counters<(typeof memoryCountersV2)[number] | (typeof memoryLimitsV2)[number]>;
  readonly memory_events?: Counters<(typeof memoryEventNames)[number]>;
}

/** A Linux guest's measurements of a container, in the version of cgroups that the guest has. */
export type CgroupMetrics =
  | { readonly version: 1; readonly metrics: CgroupMetricsV1 }
  | { readonly version: 2; readonly metrics: CgroupMetricsV2 };

function counterFields<Name extends string>(names: readonly Name[]): CopyingFields<Counters<Name>> {
  return Object.fromEntries(names.map((name) => [name, optional(checkCounter)])) as CopyingFields<Counters<Name>>;
}

function counters<const Name extends string>(...names: readonly Name[]): CopyingCheck<Counters<Name>> {
  return answerObject<Counters<Name>>(counterFields(names));
}

const pids = optional(counters("current", "limit"));
const usage = optional(counters("limit", "usage", "max", "failcnt"));

const metricsV1 = answerObject<CgroupMetricsV1>({
  pids,
  cpu: optional(
    answerObject<NonNullable<CgroupMetricsV1["cpu"]>>({
      usage: optional(
        answerObject<NonNullable<NonNullable<CgroupMetricsV1["cpu"]>["usage"]>>({
          ...counterFields(["total", "kernel", "user"]),
          per_cpu: optional(list(checkCounter)),
        }),
      ),
      throttling: optional(counters("periods", "throttled_periods", "throttled_time")),
    }),
  ),
  memory: optional(
    answerObject<NonNullable<CgroupMetricsV1["memory"]>>({
      ...counterFields(memoryCountersV1),
      usage,
      swap: usage,
      kernel: usage,
      kernel_tcp: usage,
    }),
  ),
  memory_oom_control: optional(counters("oom_kill_disable", "under_oom", "oom_kill")),
});

const metricsV2 = answerObject<CgroupMetricsV2>({
  pids,
  cpu: optional(counters(...cpuCountersV2)),
  memory: optional(counters(...memoryCountersV2, ...memoryLimitsV2)),
  memory_events: optional(counters(...memoryEventNames)),
});

const statistics = answerObject<{ readonly LCOWMetrics?: CgroupMetricsV1; readonly LCOWMetricsV2?: CgroupMetricsV2 }>({
  LCOWMetrics: optional(metricsV1),
  LCOWMetricsV2: optional(metricsV2),
});

/**
 * The metrics in a guest's answer about a container. Unused groups (block devices, RDMA, huge pages) are
 * left out, since they may be of any size.
 */
export const checkCgroupMetrics = madeOf(statistics, ({ LCOWMetrics, LCOWMetricsV2 }, path): CgroupMetrics => {
  if (LCOWMetrics !== undefined) return { version: 1, metrics: LCOWMetrics };
  if (LCOWMetricsV2 !== undefined) return { version: 2, metrics: LCOWMetricsV2 };
  throw new SchemaError(path, "expected LCOWMetrics or LCOWMetricsV2, got neither");
});
