/** What a host can ask of a container. */
import { GuestFault } from "@uvm-shim/gcs-bridge";
import { closedObject, list, parseWithin, text, type WindowsContainerStatistics } from "@uvm-shim/hcs-schema";
import type { ContainerGroups } from "./limits.ts";

const bounds = { length: 4096, depth: 4, keys: 64, elements: 64 };
const known = ["Statistics", "ProcessList", "SystemGUID"] as const;
export type PropertyType = (typeof known)[number];

const checkQuery = closedObject<{ readonly PropertyTypes: readonly string[] }>({ PropertyTypes: list(text) });
/** 100 ns, in nanoseconds and in ticks of cpuacct.stat. */
const nanosecondsPerUnit = 100;
const unitsPerTick = 100_000;

/** Throws a SchemaError for what is no query, and a GuestFault for a type that Windows does not have. */
export function readQuery(query: string): readonly PropertyType[] {
  if (query === "") return [];
  const { PropertyTypes } = checkQuery(parseWithin(query, bounds, "Query"), "Query");
  return PropertyTypes.map((name) => {
    const type = known.find((candidate) => candidate === name);
    if (type !== undefined) return type;
    throw new GuestFault("ERROR_NOT_SUPPORTED", `Query.PropertyTypes: ${name} is none of ${known.join(", ")}`);
  });
}

/** Measurements of the container's control groups, of either version. */
export function statisticsOf(groups: ContainerGroups, startedAt: Date, now: Date): WindowsContainerStatistics {
  const cpu = new Map([...pairs(groups.lines("cpuacct.stat")), ...pairs(groups.lines("cpu.stat"))]);
  const memory = new Map(pairs(groups.lines("memory.stat")));
  const user = runtime(cpu, "user", "user_usec");
  const kernel = runtime(cpu, "system", "system_usec");
  const nanoseconds = groups.lines("cpuacct.usage")[0];
  const total =
    nanoseconds === undefined ? runtime(cpu, "", "usage_usec") : Math.floor(Number(nanoseconds) / nanosecondsPerUnit);
  const one = (...files: readonly string[]): number =>
    Number(files.map((file) => groups.lines(file)[0]).find((line) => line !== undefined) ?? 0);
  const io = transfers(groups);
  return {
    Timestamp: now.toISOString(),
    ContainerStartTime: startedAt.toISOString(),
    Uptime100ns: (now.getTime() - startedAt.getTime()) * 10_000,
    Processor: { TotalRuntime100ns: total, RuntimeUser100ns: user, RuntimeKernel100ns: kernel },
    Memory: {
      MemoryUsageCommitBytes: one("memory.usage_in_bytes", "memory.current"),
      MemoryUsageCommitPeakBytes: one("memory.max_usage_in_bytes", "memory.peak"),
      MemoryUsagePrivateWorkingSetBytes: memory.get("total_rss") ?? memory.get("anon") ?? 0,
    },
    Storage: {
      ReadCountNormalized: io.readCount,
      ReadSizeBytes: io.readBytes,
      WriteCountNormalized: io.writeCount,
      WriteSizeBytes: io.writeBytes,
    },
  };
}

function runtime(cpu: ReadonlyMap<string, number>, ticks: string, microseconds: string): number {
  const exact = cpu.get(microseconds);
  return exact === undefined ? (cpu.get(ticks) ?? 0) * unitsPerTick : exact * 10;
}

function transfers(groups: ContainerGroups) {
  const total = { readCount: 0, readBytes: 0, writeCount: 0, writeBytes: 0 };
  for (const line of groups.lines("io.stat")) {
    const fields = new Map(line.split(" ").map((field) => field.split("=") as [string, string]));
    total.readBytes += Number(fields.get("rbytes") ?? 0);
    total.writeBytes += Number(fields.get("wbytes") ?? 0);
    total.readCount += Number(fields.get("rios") ?? 0);
    total.writeCount += Number(fields.get("wios") ?? 0);
  }
  const sum = (file: string, verb: string): number =>
    groups
      .lines(file)
      .map((line) => line.split(" "))
      .filter((words) => words[1] === verb)
      .reduce((value, words) => value + Number(words[2]), 0);
  total.readBytes += sum("blkio.throttle.io_service_bytes", "Read");
  total.writeBytes += sum("blkio.throttle.io_service_bytes", "Write");
  total.readCount += sum("blkio.throttle.io_serviced", "Read");
  total.writeCount += sum("blkio.throttle.io_serviced", "Write");
  return total;
}

function pairs(lines: readonly string[]): readonly (readonly [string, number])[] {
  return lines.map((line) => line.split(" ")).map(([name = "", value]) => [name, Number(value)] as const);
}
