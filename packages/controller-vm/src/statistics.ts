import { guestPageBytes, type VirtualMachineMemory } from "@uvm-shim/hcs-schema";
import type { VmComputeSystem, VmStatistics } from "./types.ts";

const nanosecondsPerTick = 100;

/**
 * Statistics of a running VM, as the host measures them. With physical memory the working set is all of the assigned
 * memory; with virtual memory no property has it, and the host is asked separately.
 */
export async function vmStatistics(
  system: VmComputeSystem,
  memory: VirtualMachineMemory,
  signal: AbortSignal,
): Promise<VmStatistics> {
  const { Statistics: statistics, Memory: information } = await system.properties(["Statistics", "Memory"], signal);
  const counters = information?.VirtualMachineMemory;
  const assignedMemory = counters?.AssignedMemory ?? 0;
  const isVirtual = memory.AllowOvercommit === true;
  return {
    processor: { totalRuntimeNs: (statistics?.Processor?.TotalRuntime100ns ?? 0) * nanosecondsPerTick },
    memory: {
      workingSetBytes: isVirtual ? await system.workingSet(signal) : assignedMemory * guestPageBytes,
      virtualNodeCount: information?.VirtualNodeCount ?? 0,
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
