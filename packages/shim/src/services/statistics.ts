/**
 * Encodes measurements in the types that containerd's clients know. CRI accepts only cgroup metrics for Linux sandboxes,
 * and only the statistics of the runhcs shim for Windows sandboxes.
 */
import { containerd, io } from "../generated/messages.js";
import type { ContainerStatistics, Platform, VmStatistics } from "../platform.ts";

export interface EncodedStatistics {
  readonly type_url: string;
  readonly value: Uint8Array;
}

const pageBytes = 4096;
/** 2^64 - 1, which a JavaScript number cannot represent. */
const maxUint64 = { low: 0xffffffff, high: 0xffffffff, unsigned: true };

export function encodeContainerStatistics({ version, metrics }: ContainerStatistics): EncodedStatistics {
  const { Metrics } = version === 1 ? io.containerd.cgroups.v1 : io.containerd.cgroups.v2;
  return {
    type_url: `io.containerd.cgroups.v${version}.Metrics`,
    value: Metrics.encode(messageFields(metrics)).finish(),
  };
}

export function encodeVmStatistics(os: Platform["os"], statistics: VmStatistics): EncodedStatistics {
  const { processor, memory } = statistics;
  switch (os) {
    case "linux": {
      const usage = { usage: memory.workingSetBytes, limit: memory.vmMemory.assignedMemory * pageBytes };
      const metrics = { cpu: { usage: { total: processor.totalRuntimeNs } }, memory: { usage } };
      return encodeContainerStatistics({ version: 1, metrics });
    }
    case "windows":
      return {
        type_url: "containerd.runhcs.stats.v1.Statistics",
        value: containerd.runhcs.stats.v1.Statistics.encode({ vm: statistics }).finish(),
      };
  }
}

/** Field names of containerd's messages. Others, such as `$unknowns`, would make generated code write raw bytes. */
const fieldName = /^[a-z][a-z0-9_]*$/;

/** Metrics use containerd's snake case; generated code uses camel case. */
function messageFields(metrics: object): { readonly [field: string]: object | number } {
  const fields = Object.entries(metrics).filter(([name]) => fieldName.test(name));
  return Object.fromEntries(fields.map(([name, value]) => [camelCase(name), fieldOf(value)]));
}

function fieldOf(value: unknown): object | number {
  if (typeof value === "number") return value < 2 ** 64 ? value : maxUint64;
  if (Array.isArray(value)) return value.map(fieldOf);
  return typeof value === "object" && value !== null ? messageFields(value) : 0;
}

function camelCase(name: string): string {
  return name.replaceAll(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
}
