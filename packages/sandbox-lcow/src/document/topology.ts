import type { ComputeTopology, VirtualMachineMemory, VirtualMachineProcessor } from "@uvm-shim/hcs-schema";
import { type AnnotationValues, keyOf } from "../annotations/annotations.ts";
import { refuse } from "../annotations/values.ts";
import type { Context } from "../context.ts";
import { hasBuild } from "../host-facts.ts";
import { wholeOption } from "../options.ts";
import { numaTopology } from "./numa.ts";
import { type MemoryNeeds, memoryFor, PodSize } from "./pod-size.ts";

const defaultMemoryMb = 1024;
const defaultGuestMb = 256;
const defaultProcessors = 2;
/** cpu.shares of one requested processor, and HCS's default weight of a VM. */
const sharesOfProcessor = 1024;
const defaultWeight = 100;
const greatestWeight = 10_000;
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

/** How the VM's size follows its containers. */
export function podSize(context: Context, confidential: boolean, { Memory, Processor }: ComputeTopology): PodSize {
  const { values, options, host } = context;
  return new PodSize({
    processors: Processor.Count,
    hostProcessors: host.processors,
    hostMemory: hostMemory(context),
    needs: needsOf(values),
    fixedMemory: fixedMemory(context, confidential, Memory.SizeInMB),
    areProcessorsFixed: (values.processorCount || options.vmProcessorCount || 0) > 0 || hasNodes(values),
  });
}

function fixedMemory({ values, options }: Context, confidential: boolean, size: number): string | undefined {
  if (values.memorySize) return `annotation ${keyOf("memorySize")} is ${values.memorySize}`;
  if (options.vmMemorySizeInMb) return `option vm_memory_size_in_mb is ${options.vmMemorySizeInMb}`;
  if (hasNodes(values)) return `the NUMA nodes that ${keyOf("numaMappedNodes")} asks for have ${size} MB`;
  return confidential ? "a confidential VM keeps the memory that it boots with" : undefined;
}

/** Whether NUMA nodes are given one by one, each with a processor count and a size. */
function hasNodes({ numaMappedNodes: nodes = [] }: AnnotationValues): boolean {
  return nodes.length > 0;
}

function needsOf({ guestMemory, memoryWithoutLimits }: AnnotationValues): MemoryNeeds {
  return { guest: guestMemory || defaultGuestMb, withoutLimits: memoryWithoutLimits || defaultMemoryMb };
}

function hostMemory({ host: { memoryInMb } }: Context): number | undefined {
  return memoryInMb === undefined ? undefined : memoryInMb - (memoryInMb % 2);
}

/** Enough for the limits of the pod's containers, at most what the host has. */
function memoryOfPod(context: Context): number {
  const { pod, values } = context;
  if (hasNodes(values)) return defaultMemoryMb;
  return Math.min(memoryFor([pod], needsOf(values)), hostMemory(context) ?? Number.POSITIVE_INFINITY);
}

/**
 * The sum of all container limits, but at least what a pod without limits gets: containers without a limit are not in
 * the sum, and the number cannot change later.
 */
function processorsOfPod({ pod, values, host }: Context): number {
  const least = values.processorsWithoutLimits || defaultProcessors;
  if (hasNodes(values)) return defaultProcessors;
  return Math.min(Math.max(least, Math.ceil(pod.processors ?? 0)), host.processors);
}

/** Never below the default: the guest of a pod with small requests must answer in time too. */
function weightOfPod({ pod: { shares = 0 } }: Context): number | undefined {
  const weight = Math.round((shares / sharesOfProcessor) * defaultWeight);
  return weight > defaultWeight ? Math.min(weight, greatestWeight) : undefined;
}

function processors(context: Context): VirtualMachineProcessor {
  const { values, options, host, warn } = context;
  const fromOption = wholeOption("vm_processor_count", options.vmProcessorCount);
  const asked = values.processorCount || fromOption;
  const weight = values.processorWeight || weightOfPod(context);
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
    Count: Math.min(asked || processorsOfPod(context), host.processors),
    ...(values.processorLimit ? { Limit: values.processorLimit } : {}),
    ...(weight ? { Weight: weight } : {}),
    ...(values.cpuGroup ? { CpuGroup: { Id: values.cpuGroup } } : {}),
  };
}

function memory(context: Context, confidential: boolean): VirtualMachineMemory {
  const { values, options, host, warn } = context;
  const fromOption = wholeOption("vm_memory_size_in_mb", options.vmMemorySizeInMb);
  const size = values.memorySize || fromOption || memoryOfPod(context);
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
