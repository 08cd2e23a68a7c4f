/**
 * Encodes measurements in the types that containerd's clients know. CRI accepts only cgroup metrics for Linux sandboxes,
 * and only the statistics of the runhcs shim for Windows sandboxes.
 */
import { containerd, io } from "../generated/messages.js";
import type { ContainerStatistics, Platform, VmStatistics, WindowsMetrics } from "../platform.ts";
import { type Timestamp, timestampOfText } from "./messages.ts";

/** Statistics as an Any. */
export interface EncodedStatistics {
  readonly type_url: string;
  readonly value: Uint8Array;
}

const pageBytes = 4096;

/** `vm` are the measurements of a VM that the container has to itself; cgroup metrics have no place for them. */
export function encodeContainerStatistics(statistics: ContainerStatistics, vm?: VmStatistics): EncodedStatistics {
  const { version, metrics } = statistics;
  if (version === "windows") return encodeRunhcs({ windows: windowsFields(metrics), ...(vm && { vm }) });
  const { Metrics } = version === 1 ? io.containerd.cgroups.v1 : io.containerd.cgroups.v2;
  return {
    type_url: `io.containerd.cgroups.v${version}.Metrics`,
    value: Metrics.encode(messageFields(metrics)).finish(),
  };
}

/** What a VM uses, in the form that containerd expects of its guests' system. */
export function encodeVmStatistics(os: Platform["os"], statistics: VmStatistics): EncodedStatistics {
  const { processor, memory } = statistics;
  switch (os) {
    case "linux": {
      const usage = { usage: memory.workingSetBytes, limit: memory.vmMemory.assignedMemory * pageBytes };
      const metrics = { cpu: { usage: { total: processor.totalRuntimeNs } }, memory: { usage } };
      return encodeContainerStatistics({ version: 1, metrics });
    }
    case "windows":
      return encodeRunhcs({ vm: statistics });
  }
}

function encodeRunhcs(
  statistics: Parameters<typeof containerd.runhcs.stats.v1.Statistics.encode>[0],
): EncodedStatistics {
  return {
    type_url: "containerd.runhcs.stats.v1.Statistics",
    value: containerd.runhcs.stats.v1.Statistics.encode(statistics).finish(),
  };
}

/** Named one by one, so that nothing else of the guest's answer gets into the message. */
function windowsFields({ Timestamp, ContainerStartTime, Uptime100ns, Processor, Memory, Storage }: WindowsMetrics) {
  return {
    ...timeField("timestamp", Timestamp),
    ...timeField("containerStartTime", ContainerStartTime),
    uptimeNs: nanoseconds(Uptime100ns),
    processor: {
      totalRuntimeNs: nanoseconds(Processor?.TotalRuntime100ns),
      runtimeUserNs: nanoseconds(Processor?.RuntimeUser100ns),
      runtimeKernelNs: nanoseconds(Processor?.RuntimeKernel100ns),
    },
    memory: {
      memoryUsageCommitBytes: Memory?.MemoryUsageCommitBytes,
      memoryUsageCommitPeakBytes: Memory?.MemoryUsageCommitPeakBytes,
      memoryUsagePrivateWorkingSetBytes: Memory?.MemoryUsagePrivateWorkingSetBytes,
    },
    storage: {
      readCountNormalized: Storage?.ReadCountNormalized,
      readSizeBytes: Storage?.ReadSizeBytes,
      writeCountNormalized: Storage?.WriteCountNormalized,
      writeSizeBytes: Storage?.WriteSizeBytes,
    },
  };
}

function timeField<Name extends string>(name: Name, text: string | undefined): { readonly [key in Name]?: Timestamp } {
  const timestamp = timestampOfText(text);
  return timestamp === undefined ? {} : ({ [name]: timestamp } as { readonly [key in Name]: Timestamp });
}

const nanosecondsPerTick = 100;

function nanoseconds(ticks: number | undefined): number {
  return (ticks ?? 0) * nanosecondsPerTick;
}

/** Field names of containerd's messages. A name in another spelling could replace the field that it is spelled like. */
const fieldName = /^[a-z][a-z0-9_]*$/;

/** Metrics use containerd's snake case; generated code uses camel case. */
function messageFields(metrics: object): { readonly [field: string]: object | number } {
  const fields = Object.entries(metrics).filter(([name]) => fieldName.test(name));
  return Object.fromEntries(fields.map(([name, value]) => [camelCase(name), fieldOf(value)]));
}

function fieldOf(value: unknown): object | number {
  if (typeof value === "number") return value;
  if (Array.isArray(value)) return value.map(fieldOf);
  return typeof value === "object" && value !== null ? messageFields(value) : 0;
}

function camelCase(name: string): string {
  return name.replaceAll(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
}
