/** Memory and processors of a system: updates and statistics. */

import {
  checkCpuGroup,
  checkMemorySize,
  checkProcessorLimits,
  guestPageBytes,
  type MemoryInformation,
  type ModifySettingRequest,
  type SystemStatistics,
} from "@uvm-shim/hcs-schema";
import { hostVariables } from "@uvm-shim/host-protocol";
import type { GuestMachine, MachineUsage } from "../guest-machine.ts";
import { HcsFailure } from "../hcs-failure.ts";
import type { Resource } from "./resource-path.ts";

/** A resource path about memory or processors. */
export type TopologyResource = Extract<Resource, { kind: "memorySize" | "processorLimits" | "cpuGroup" }>;

/** Processors by id of their CPU group, in the form of cpusets: `0-3,7`. */
export type CpuGroups = ReadonlyMap<string, string>;

/** The id that removes a system from its group. */
const noCpuGroup = "00000000-0000-0000-0000-000000000000";

/** Whether a resource is about memory or processors. */
export function isTopology(resource: Resource): resource is TopologyResource {
  return resource.kind === "memorySize" || resource.kind === "processorLimits" || resource.kind === "cpuGroup";
}

/** Changes memory or processors of a running machine, as HCS would; HcsFailure for what it would refuse. */
export async function updateTopology(
  machine: GuestMachine,
  resource: TopologyResource,
  { ResourcePath, RequestType, Settings }: ModifySettingRequest,
  groups: CpuGroups,
): Promise<void> {
  if (RequestType !== "Update") {
    throw new HcsFailure("E_INVALIDARG", `RequestType: expected "Update" for ${ResourcePath}`);
  }
  switch (resource.kind) {
    case "memorySize":
      return await machine.resizeMemory(checkMemorySize(Settings, "Settings"));
    case "processorLimits": {
      const { Limit: limit, Weight: weight } = checkProcessorLimits(Settings, "Settings");
      return await machine.limitProcessors({ ...(limit && { limit }), ...(weight && { weight }) });
    }
    case "cpuGroup":
      return await machine.useProcessors(processorsOf(groups, checkCpuGroup(Settings, "Settings").Id, "Settings.Id"));
  }
}

/** Processors of a group; undefined, meaning all, for no group. `field` names the id in errors. */
export function processorsOf(groups: CpuGroups, id: string, field: string): string | undefined {
  if (id === noCpuGroup) return undefined;
  const processors = groups.get(id.toLowerCase());
  if (processors !== undefined) return processors;
  const known = groups.size === 0 ? `no group, as ${hostVariables.cpuGroups} is empty` : [...groups.keys()].join(", ");
  throw new HcsFailure("ERROR_NOT_FOUND", `${field}: unknown CPU group ${id}: expected ${known}`);
}

const nanosecondsPerTick = 100;

/** What HCS reports of the processor time that a VM has used, in 100 ns. */
export function statisticsOf(usage: MachineUsage, startedAt: Date, now: Date): SystemStatistics {
  const ticks = (nanoseconds: number): number => Math.floor(nanoseconds / nanosecondsPerTick);
  return {
    Timestamp: now.toISOString(),
    Uptime100ns: (now.getTime() - startedAt.getTime()) * (1_000_000 / nanosecondsPerTick),
    Processor: {
      TotalRuntime100ns: ticks(usage.processorNs),
      RuntimeUser100ns: ticks(usage.processorUserNs),
      RuntimeKernel100ns: ticks(usage.processorKernelNs),
    },
  };
}

/** Counters of a VM without dynamic memory: all memory is assigned, and reserved if it is physical. */
export function memoryInformationOf(usage: MachineUsage, physicallyBacked: boolean): MemoryInformation {
  const assigned = Math.floor(usage.memoryLimitBytes / guestPageBytes);
  return {
    VirtualNodeCount: 1,
    VirtualMachineMemory: {
      // Percent of the assigned memory.
      AvailableMemory: Math.max(0, Math.floor(100 * (1 - usage.memoryBytes / usage.memoryLimitBytes))),
      ReservedMemory: physicallyBacked ? assigned : 0,
      AssignedMemory: assigned,
      SlpActive: false,
      BalancingEnabled: false,
      DmOperationInProgress: false,
    },
  };
}
