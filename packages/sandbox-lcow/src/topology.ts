import type { ComputeTopology, VirtualMachineMemory, VirtualMachineProcessor } from "@uvm-shim/hcs-schema";
import { keyOf } from "./annotations.ts";
import { type Context, hasBuild } from "./context.ts";
import { numaTopology } from "./numa.ts";
import { wholeOption } from "./options.ts";
import { refuse } from "./values.ts";

const defaultMemoryMb = 1024;
const defaultProcessors = 2;
const firstBuildWithColdDiscard = 18_967;
const firstBuildWithCpuGroups = 19_043;

/** Processors, memory and NUMA nodes. Memory of a confidential VM is never overcommitted. */
export function computeTopology(context: Context, confidential: boolean): ComputeTopology {
  const processor = processors(context);
  const ownMemory = memory(context, confidential);
  const numa = numaTopology(context, { processors: processor.Count, memory: ownMemory });
  if (numa === undefined) return { Memory: ownMemory, Processor: processor };
  return {
    Memory: { ...ownMemory, SlitType: "FirmwareFallbackMeasured" },
    Processor: { ...processor, ...(numa.processors && { NumaProcessorsSettings: numa.processors }) },
    Numa: numa.nodes,
  };
}

function processors({ values, options, host, warn }: Context): VirtualMachineProcessor {
  const fromOption = wholeOption("vm_processor_count", options.vmProcessorCount);
  const asked = values.processorCount || fromOption;
  if (asked > host.processors) {
    warn(`the VM gets ${host.processors} processors instead of ${asked}: the host has no more`);
  }
  if (values.cpuGroup && !hasBuild(host, firstBuildWithCpuGroups)) {
    refuse(
      keyOf("cpuGroup"),
      values.cpuGroup,
      `none on build ${host.build}; build ${firstBuildWithCpuGroups} has them`,
    );
  }
  return {
    Count: Math.min(asked || defaultProcessors, host.processors),
    ...(values.processorLimit ? { Limit: values.processorLimit } : {}),
    ...(values.processorWeight ? { Weight: values.processorWeight } : {}),
    ...(values.cpuGroup ? { CpuGroup: { Id: values.cpuGroup } } : {}),
  };
}

function memory({ values, options, host, warn }: Context, confidential: boolean): VirtualMachineMemory {
  const fromOption = wholeOption("vm_memory_size_in_mb", options.vmMemorySizeInMb);
  const size = values.memorySize || fromOption || defaultMemoryMb;
  const physical = values.fullyPhysicallyBacked || confidential;
  if (confidential && values.allowOvercommit) {
    warn(`annotation ${keyOf("allowOvercommit")} has no effect: memory of a confidential VM is physical`);
  }
  const overcommit = (values.allowOvercommit ?? true) && !physical;
  if (values.deferredCommit && !overcommit) {
    const needed = confidential
      ? "false in a confidential VM, whose memory is physical"
      : `false, or ${keyOf("allowOvercommit")} true and ${keyOf("fullyPhysicallyBacked")} false`;
    refuse(keyOf("deferredCommit"), "true", needed);
  }
  if (values.coldDiscardHint && !hasBuild(host, firstBuildWithColdDiscard)) {
    const needed = `false on build ${host.build}; hints need build ${firstBuildWithColdDiscard} or later`;
    refuse(keyOf("coldDiscardHint"), "true", needed);
  }
  return {
    // HCS takes memory in pages of 2 MiB.
    SizeInMB: size + (size % 2),
    ...(overcommit && { AllowOvercommit: true }),
    ...(values.deferredCommit && { EnableDeferredCommit: true }),
    ...(values.coldDiscardHint && { EnableColdDiscardHint: true }),
    ...(values.lowMmioGap ? { LowMmioGapInMB: values.lowMmioGap } : {}),
    ...(values.highMmioBase ? { HighMmioBaseInMB: values.highMmioBase } : {}),
    ...(values.highMmioGap ? { HighMmioGapInMB: values.highMmioGap } : {}),
  };
}
