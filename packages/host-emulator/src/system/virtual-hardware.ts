/** Hardware in documents besides processors, memory and devices. */
import type { ComputeTopology, VirtualMachine } from "@uvm-shim/hcs-schema";
import { HcsFailure } from "../hcs-failure.ts";

/** The highest version of a virtual machine that Windows Server 2025 makes. */
const newestVersion = 12;

/** Rejects isolation, which needs hardware or measured firmware, and what this machine lacks. Throws HcsFailure. */
export function refuseUnemulated(machine: VirtualMachine): void {
  for (const field of ["GuestState", "SecuritySettings"] as const) {
    if (machine[field] === undefined) continue;
    throw new HcsFailure(
      "ERROR_NOT_SUPPORTED",
      `VirtualMachine.${field}: isolation is not supported by the emulated host`,
    );
  }
  const { Major: version = newestVersion } = machine.Version ?? {};
  if (version > newestVersion) {
    throw new HcsFailure(
      "ERROR_NOT_SUPPORTED",
      `VirtualMachine.Version: expected at most ${newestVersion}.0, got ${version}.${machine.Version?.Minor ?? 0}`,
    );
  }
  if (machine.ResourcePartitionId !== undefined) {
    const message = `VirtualMachine.ResourcePartitionId: resource partition ${machine.ResourcePartitionId} does not exist`;
    throw new HcsFailure("ERROR_NOT_FOUND", message);
  }
}

/** Virtual nodes require physical memory, and their sums must match the machine. Guests do not see them. */
export function checkNuma({ Memory: memory, Processor: processor, Numa: numa }: ComputeTopology): void {
  if (numa === undefined) {
    if (processor.NumaProcessorsSettings === undefined) return;
    throw invalid("Processor.NumaProcessorsSettings", "expected only with VirtualMachine.ComputeTopology.Numa");
  }
  if (memory.AllowOvercommit) throw invalid("Memory.AllowOvercommit", "expected false on a machine with NUMA nodes");
  const nodes = numa.Settings ?? [];
  if (nodes.length !== (numa.VirtualNodeCount ?? 0)) {
    throw invalid("Numa.VirtualNodeCount", `expected ${nodes.length}, the number of settings`);
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
