import type { ComputeTopology, VirtualMachineMemory } from "@uvm-shim/hcs-schema";
import {
  computeTopology as commonTopology,
  defaultProcessors,
  hasBuild,
  hostMemory,
  type MemoryNeeds,
  memoryFor,
  refuse,
  wholeOption,
} from "@uvm-shim/sandbox-common";
import { type AnnotationValues, keyOf } from "../annotations/annotations.ts";
import type { Context } from "../context.ts";
import { PodSize } from "./pod-size.ts";

const defaultMemoryMb = 1024;
const defaultGuestMb = 256;
/** cpu.shares of one requested processor, and HCS's default weight of a VM. */
const sharesOfProcessor = 1024;
const defaultWeight = 100;
const greatestWeight = 10_000;
const firstBuildWithColdDiscard = 18_967;

/** Processors, memory and NUMA nodes. Memory of a confidential VM is never overcommitted. */
export function computeTopology(context: Context, confidential: boolean): ComputeTopology {
  const { values, options } = context;
  const count = wholeOption("vm_processor_count", options.vmProcessorCount);
  const size = wholeOption("vm_memory_size_in_mb", options.vmMemorySizeInMb);
  return commonTopology(context, {
    processors: values.processorCount || count || processorsOfPod(context),
    limit: values.processorLimit ?? 0,
    weight: values.processorWeight || weightOfPod(context),
    memoryInMb: values.memorySize || size || memoryOfPod(context),
    isConfidential: confidential,
    hints: () => coldDiscardHint(context),
    incompleteNuma: "refused",
  });
}

function coldDiscardHint({ values, host }: Context): Partial<VirtualMachineMemory> {
  if (!values.coldDiscardHint) return {};
  if (!hasBuild(host, firstBuildWithColdDiscard)) {
    const needed = `false on build ${host.build}; hints need build ${firstBuildWithColdDiscard} or later`;
    refuse(keyOf("coldDiscardHint"), "true", needed);
  }
  return { EnableColdDiscardHint: true };
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
  if (hasNodes(values)) return Math.min(defaultProcessors, host.processors);
  return Math.min(Math.max(least, Math.ceil(pod.processors ?? 0)), host.processors);
}

/** Never below the default: the guest of a pod with small requests must answer in time too. */
function weightOfPod({ pod: { shares = 0 } }: Context): number {
  const weight = Math.round((shares / sharesOfProcessor) * defaultWeight);
  return weight > defaultWeight ? Math.min(weight, greatestWeight) : 0;
}
