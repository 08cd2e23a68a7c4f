/** Queries of a container's properties. */
import { type GuestRequests, type PropertyQuery, queryProperties } from "@uvm-shim/gcs-bridge";
import {
  checkWindowsProcessList,
  checkWindowsStatistics,
  checkWindowsSystemGuid,
  type JsonBounds,
  type WindowsContainerStatistics,
  type WindowsProcessDetails,
} from "@uvm-shim/hcs-schema";

const mebibyte = 1024 * 1024;
const mostProcesses = 32_768;
const fieldsOfProcess = 8;

const processListBounds: JsonBounds = {
  length: 2 * mebibyte,
  depth: 8,
  keys: mostProcesses * fieldsOfProcess,
  elements: mostProcesses,
};

/** Some twenty counters. */
const smallBounds: JsonBounds = { length: 64 * 1024, depth: 8, keys: 1_024, elements: 1_024 };

const processListQuery = {
  type: "ProcessList",
  bounds: processListBounds,
  check: checkWindowsProcessList,
} satisfies PropertyQuery<unknown>;

const statisticsQuery = {
  type: "Statistics",
  bounds: smallBounds,
  check: checkWindowsStatistics,
} satisfies PropertyQuery<unknown>;

const systemGuidQuery = {
  type: "SystemGUID",
  bounds: smallBounds,
  check: checkWindowsSystemGuid,
} satisfies PropertyQuery<unknown>;

/** The processes of a container, as far as the guest's answer stays within its bounds. */
export async function processList(
  requests: GuestRequests,
  containerId: string,
  abort?: AbortSignal,
): Promise<readonly WindowsProcessDetails[]> {
  return (await queryProperties(requests, containerId, processListQuery, abort)).ProcessList ?? [];
}

/** What a container uses: processor times in 100 ns, memory in bytes. */
export async function statistics(
  requests: GuestRequests,
  containerId: string,
  abort?: AbortSignal,
): Promise<WindowsContainerStatistics> {
  return (await queryProperties(requests, containerId, statisticsQuery, abort)).Statistics;
}

/** By this id the host redirects hvsocket connections to the container. */
export async function systemGuid(requests: GuestRequests, containerId: string, abort?: AbortSignal): Promise<string> {
  return (await queryProperties(requests, containerId, systemGuidQuery, abort)).SystemGUID;
}
