import { guestPageBytes, type VirtualMachineMemory } from "@uvm-shim/hcs-schema";
import type { VmComputeSystem, VmStatistics } from "./types.ts";

const nanosecondsPerTick = 100;

/**
 * What the host measures of a running VM. The working set of a VM whose memory is physical is all that it was given;
 * of one whose memory is virtual no property tells it, and the host is asked for it by itself.
 */
export async function vmStatistics(
  system: VmComputeSystem,
  memory: VirtualMachineMemory,
  signal: AbortSignal,
): Promise<VmStatistics> {
  const { Statistics: statistics, Memory: told } = await system.properties(["Statistics", "Memory"], signal);
  const counters = told?.VirtualMachineMemory;
  const assignedMemory = counters?.AssignedMemory ?? 0;
  const isVirtual = memory.AllowOvercommit === true;
  return {
    processor: { totalRuntimeNs: (statistics?.Processor?.TotalRuntime100ns ?? 0) * nanosecondsPerTick },
    memory: {
      workingSetBytes: isVirtual ? await system.workingSet(signal) : assignedMemory * guestPageBytes,
      virtualNodeCount: told?.VirtualNodeCount ?? 0,
      vmMemory: {
        availableMemory: counters?.AvailableMemory ?? 0,
        availableMemoryBuffer: counters?.AvailableMemoryBuffer ?? 0,
        reservedMemory: counters?.ReservedMemory ?? 0,
        assignedMemory,
        slpActive: counters?.SlpActive ?? false,
        balancingEnabled: counters?.BalancingEnabled ?? false,
        dmOperationInProgress: counters?.DmOperationInProgress ?? false,
      },
    },
  };
}
