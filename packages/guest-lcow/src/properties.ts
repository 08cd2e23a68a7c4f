/** Queries of a container's properties. */
import { type GuestRequests, queryProperties } from "@uvm-shim/gcs-bridge";
import { type CgroupMetrics, checkCgroupMetrics, checkLinuxProcessList, type JsonBounds } from "@uvm-shim/hcs-schema";

const mebibyte = 1024 * 1024;

/** Linux's default pid limit. The real guest sends one field for each process. */
const mostProcesses = 32_768;

const processListBounds: JsonBounds = {
  length: 2 * mebibyte,
  depth: 8,
  keys: mostProcesses + 1_024,
  elements: mostProcesses,
};

/** A few hundred counters, one for each processor, and in some guests five for each disk. */
const statisticsBounds: JsonBounds = { length: mebibyte, depth: 16, keys: 16_384, elements: 16_384 };

/** Pids of all processes in a container. */
export async function processIds(
  requests: GuestRequests,
  containerId: string,
  abort?: AbortSignal,
): Promise<readonly number[]> {
  const of = { type: "ProcessList", bounds: processListBounds, check: checkLinuxProcessList } as const;
  const { ProcessList = [] } = await queryProperties(requests, containerId, of, abort);
  return ProcessList.map(({ ProcessId }) => ProcessId);
}

/** Counters of the guest's kernel for a container. */
export function statistics(requests: GuestRequests, containerId: string, abort?: AbortSignal): Promise<CgroupMetrics> {
  const of = { type: "Statistics", bounds: statisticsBounds, check: checkCgroupMetrics } as const;
  return queryProperties(requests, containerId, of, abort);
}
