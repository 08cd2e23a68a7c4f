import type { ComputeTopology, VirtualMachineMemory, VirtualMachineProcessor } from "@uvm-shim/hcs-schema";
import { keyOf } from "../annotations/shared-annotations.ts";
import { refuse } from "../annotations/values.ts";
import { hasBuild } from "../host-facts.ts";
import type { MachineContext } from "./context.ts";
import { numaTopology } from "./numa.ts";

/** A VM's processors if nobody asks for a number. */
export const defaultProcessors = 2;
const firstBuildWithCpuGroups = 19_043;

/** The size of a VM before it is fitted to its host. */
export interface WantedSize {
  readonly processors: number;
  /** Of the VM among others; 0: the host's default. */
  readonly weight: number;
  readonly limit: number;
  readonly memoryInMb: number;
  /** Memory of a confidential VM is never overcommitted. */
  readonly isConfidential: boolean;
  /** What is said of the memory besides, when it may be overcommitted or not. */
  readonly hints: (overcommit: boolean) => Partial<VirtualMachineMemory>;
  /** Whether NUMA settings without the others that they need are refused, or only reported. */
  readonly incompleteNuma: "refused" | "reported";
}

/** Processors, memory and NUMA nodes. */
export function computeTopology(context: MachineContext, wanted: WantedSize): ComputeTopology {
  const processor = processors(context, wanted);
  const ownMemory = memory(context, wanted);
  const machine = { processors: processor.Count, memory: ownMemory };
  const numa = numaTopology(context, machine, wanted.incompleteNuma);
  if (numa === undefined) return { Memory: ownMemory, Processor: processor };
  return {
    Memory: { ...ownMemory, SlitType: "FirmwareFallbackMeasured" },
    Processor: { ...processor, ...(numa.processors && { NumaProcessorsSettings: numa.processors }) },
    Numa: numa.nodes,
  };
}

/** The host's memory in pages of 2 MiB, as HCS gives it out; absent if unknown. */
export function hostMemory({ host: { memoryInMb } }: MachineContext): number | undefined {
  return memoryInMb === undefined ? undefined : memoryInMb - (memoryInMb % 2);
}

function processors(
  { values, host, warn }: MachineContext,
  { processors: asked, limit, weight }: WantedSize,
): VirtualMachineProcessor {
  if (asked > host.processors) {
    warn(`the VM gets ${host.processors} processors instead of ${asked}: the host has no more`);
  }
  if (values.cpuGroup && !hasBuild(host, firstBuildWithCpuGroups)) {
    refuse(
      keyOf("cpuGroup"),
      values.cpuGroup,
      `none on build ${host.build}: CPU groups need build ${firstBuildWithCpuGroups} or later`,
    );
  }
  return {
    Count: Math.min(asked, host.processors),
    ...(limit ? { Limit: limit } : {}),
    ...(weight ? { Weight: weight } : {}),
    ...(values.cpuGroup ? { CpuGroup: { Id: values.cpuGroup } } : {}),
  };
}

function memory(
  { values, warn }: MachineContext,
  { memoryInMb: size, isConfidential, hints }: WantedSize,
): VirtualMachineMemory {
  const physical = values.fullyPhysicallyBacked || isConfidential;
  if (isConfidential && values.allowOvercommit) {
    warn(`annotation ${keyOf("allowOvercommit")} has no effect: memory of a confidential VM is physical`);
  }
  const overcommit = (values.allowOvercommit ?? true) && !physical;
  if (values.deferredCommit && !overcommit) {
    const needed = isConfidential
      ? "false in a confidential VM, whose memory is physical"
      : `false, or ${keyOf("allowOvercommit")} true and ${keyOf("fullyPhysicallyBacked")} false`;
    refuse(keyOf("deferredCommit"), "true", needed);
  }
  return {
    // HCS takes memory in pages of 2 MiB.
    SizeInMB: size + (size % 2),
    ...(overcommit && { AllowOvercommit: true }),
    ...(values.deferredCommit && { EnableDeferredCommit: true }),
    ...hints(overcommit),
    ...(values.lowMmioGap ? { LowMmioGapInMB: values.lowMmioGap } : {}),
    ...(values.highMmioBase ? { HighMmioBaseInMB: values.highMmioBase } : {}),
    ...(values.highMmioGap ? { HighMmioGapInMB: values.highMmioGap } : {}),
  };
}
