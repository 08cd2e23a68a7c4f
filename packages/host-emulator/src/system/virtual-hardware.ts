/** What documents say of a VM's hardware beyond its processors, memory and devices. */
import type { ComputeTopology, VirtualMachine } from "@uvm-shim/hcs-schema";
import { HcsFailure } from "../hcs-failure.ts";

/** Guests here are no machines that firmware could start, or hardware isolate. Throws HcsFailure. */
export function refuseUnemulated(machine: VirtualMachine): void {
  for (const field of ["GuestState", "SecuritySettings"] as const) {
    if (machine[field] === undefined) continue;
    throw new HcsFailure("ERROR_NOT_SUPPORTED", `VirtualMachine.${field}: the emulated host isolates no guests`);
  }
  if (machine.Chipset.Uefi !== undefined) {
    throw new HcsFailure("ERROR_NOT_SUPPORTED", "VirtualMachine.Chipset.Uefi: the emulated host has no firmware");
  }
  if (machine.ResourcePartitionId !== undefined) {
    const message = `VirtualMachine.ResourcePartitionId: this host has no resource partition ${machine.ResourcePartitionId}`;
    throw new HcsFailure("ERROR_NOT_FOUND", message);
  }
}

/** Virtual nodes must be backed by physical memory and add up to the machine; guests see nothing of them. */
export function checkNuma({ Memory: memory, Processor: processor, Numa: numa }: ComputeTopology): void {
  if (numa === undefined) {
    if (processor.NumaProcessorsSettings === undefined) return;
    throw invalid("Processor.NumaProcessorsSettings", "expected nothing without VirtualMachine.ComputeTopology.Numa");
  }
  if (memory.AllowOvercommit) throw invalid("Memory.AllowOvercommit", "expected false on a machine with NUMA nodes");
  const nodes = numa.Settings ?? [];
  if (nodes.length !== (numa.VirtualNodeCount ?? 0)) {
    throw invalid("Numa.VirtualNodeCount", `expected ${nodes.length}, as many as there are settings`);
  }
  if (nodes.length === 0) return;
  const sums = { CountOfProcessors: processor.Count, CountOfMemoryBlocks: memory.SizeInMB } as const;
  for (const field of Object.keys(sums) as (keyof typeof sums)[]) {
    const sum = nodes.reduce((total, node) => total + (node[field] ?? 0), 0);
    if (sum !== sums[field]) throw invalid(`Numa.Settings.${field}`, `expected a sum of ${sums[field]}, got ${sum}`);
  }
}

function invalid(field: string, problem: string): HcsFailure {
  return new HcsFailure("E_INVALIDARG", `VirtualMachine.ComputeTopology.${field}: ${problem}`);
}
