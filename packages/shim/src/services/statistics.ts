/**
 * What was measured, in the form that containerd's clients know. CRI takes cgroup metrics alone for Linux sandboxes,
 * and the statistics of the runhcs shim alone for Windows sandboxes.
 */
import { containerd, io } from "../generated/messages.js";
import type { ContainerStatistics, Platform, VmStatistics } from "../platform.ts";

export interface EncodedStatistics {
  readonly type_url: string;
  readonly value: Uint8Array;
}

const pageBytes = 4096;
/** The greatest that 64 bits hold, which a number does not. */
const most = { low: 0xffffffff, high: 0xffffffff, unsigned: true };

export function encodeContainerStatistics({ version, metrics }: ContainerStatistics): EncodedStatistics {
  const { Metrics } = version === 1 ? io.containerd.cgroups.v1 : io.containerd.cgroups.v2;
  return {
    type_url: `io.containerd.cgroups.v${version}.Metrics`,
    value: Metrics.encode(fieldsOf(metrics)).finish(),
  };
}

/** A sandbox as a whole. */
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

/** Names of containerd's messages. Generated code takes others, as `$unknowns`, for bytes to be written as they are. */
const fieldName = /^[a-z][a-z0-9_]*$/;

/** Metrics have the names of containerd's messages; generated code spells them in one word each. */
function fieldsOf(metrics: object): { readonly [field: string]: object | number } {
  const fields = Object.entries(metrics).filter(([name]) => fieldName.test(name));
  return Object.fromEntries(fields.map(([name, value]) => [inOneWord(name), fieldOf(value)]));
}

function fieldOf(value: unknown): object | number {
  if (typeof value === "number") return value < 2 ** 64 ? value : most;
  if (Array.isArray(value)) return value.map(fieldOf);
  return typeof value === "object" && value !== null ? fieldsOf(value) : 0;
}

function inOneWord(name: string): string {
  return name.replaceAll(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
}
