/** Memory and processors of a system: their updates, and what is told of their use. */

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

export type TopologyResource = Extract<Resource, { kind: "memorySize" | "processorLimits" | "cpuGroup" }>;

/** Processors of this machine by the id of the CPU group that they are in, as cpusets list them: `0-3,7`. */
export type CpuGroups = ReadonlyMap<string, string>;

/** The group that takes a system out of its group. */
const noCpuGroup = "00000000-0000-0000-0000-000000000000";

export function isTopology(resource: Resource): resource is TopologyResource {
  return resource.kind === "memorySize" || resource.kind === "processorLimits" || resource.kind === "cpuGroup";
}

export async function updateTopology(
  machine: GuestMachine,
  resource: TopologyResource,
  { ResourcePath, RequestType, Settings }: ModifySettingRequest,
  groups: CpuGroups,
): Promise<void> {
  if (RequestType !== "Update") {
    throw new HcsFailure("E_INVALIDARG", `RequestType: ${ResourcePath} takes "Update" alone`);
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

/** The processors of a group; undefined, which is all, for no group. `field` names the id in errors. */
export function processorsOf(groups: CpuGroups, id: string, field: string): string | undefined {
  if (id === noCpuGroup) return undefined;
  const processors = groups.get(id.toLowerCase());
  if (processors !== undefined) return processors;
  const known = groups.size === 0 ? `${hostVariables.cpuGroups} declares none` : [...groups.keys()].join(", ");
  throw new HcsFailure("ERROR_NOT_FOUND", `${field}: this host has no CPU group ${id}: ${known}`);
}

/** Reads the CPU groups of {@link hostVariables}: `<GUID>=<processors>`, several of them with `;` between. Throws an Error. */
export function readCpuGroups(text: string): CpuGroups {
  const groups = new Map<string, string>();
  for (const entry of text.split(";").filter((part) => part.trim() !== "")) {
    const [, id, processors] = /^\s*([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})=([\d,-]+)\s*$/i.exec(entry) ?? [];
    if (id === undefined || processors === undefined) {
      throw new Error(`expected <GUID>=<processors>, as in …=0-3,7, with ; between, got ${JSON.stringify(entry)}`);
    }
    groups.set(id.toLowerCase(), processors);
  }
  return groups;
}

const nanosecondsPerTick = 100;

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

/** The counters of a VM without dynamic memory: what it was given is assigned, and reserved when it is not virtual. */
export function memoryInformationOf(usage: MachineUsage, physicallyBacked: boolean): MemoryInformation {
  const assigned = Math.floor(usage.memoryLimitBytes / guestPageBytes);
  return {
    VirtualNodeCount: 1,
    VirtualMachineMemory: {
      // Percent of what is assigned.
      AvailableMemory: Math.max(0, Math.floor(100 * (1 - usage.memoryBytes / usage.memoryLimitBytes))),
      ReservedMemory: physicallyBacked ? assigned : 0,
      AssignedMemory: assigned,
      SlpActive: false,
      BalancingEnabled: false,
      DmOperationInProgress: false,
    },
  };
}
