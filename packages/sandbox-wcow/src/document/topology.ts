import type { ComputeTopology } from "@uvm-shim/hcs-schema";
import { computeTopology as commonTopology, defaultProcessors, hostMemory, refuse } from "@uvm-shim/sandbox-common";
import { keyOf } from "../annotations/annotations.ts";
import type { Context } from "../context.ts";
import { WindowsPodSize } from "./resources.ts";

const mebibyte = 2 ** 20;
const defaultMemoryMb = 1024;
/** What a Windows guest takes without containers. */
const defaultGuestMb = 1024;
const confidentialMemoryMb = 2048;

/** Processors, memory and NUMA nodes. */
export function computeTopology(context: Context, isConfidential: boolean): ComputeTopology {
  const { values, host, resources } = context;
  const { processorsWithoutLimits: least } = values;
  return commonTopology(context, {
    processors: values.processorCount || resources.processors || Math.min(least || defaultProcessors, host.processors),
    limit: values.processorLimit || resources.processorLimit,
    weight: values.processorWeight || resources.processorWeight,
    memoryInMb: isConfidential ? confidentialMemory(context) : memory(context),
    isConfidential,
    hints: (overcommit) => (overcommit ? { EnableHotHint: true } : {}),
    incompleteNuma: "reported",
  });
}

function memory(context: Context): number {
  const { values } = context;
  return values.memorySize || specifiedMemory(context) || values.memoryWithoutLimits || defaultMemoryMb;
}

/** The guest's drivers for isolation need more than ordinary ones. */
function confidentialMemory(context: Context): number {
  const { values, warn } = context;
  if (values.memorySize !== undefined && values.memorySize < confidentialMemoryMb) {
    refuse(keyOf("memorySize"), values.memorySize, `at least ${confidentialMemoryMb} in a confidential VM`);
  }
  const specified = specifiedMemory(context);
  if (!values.memorySize && specified > 0 && specified < confidentialMemoryMb) {
    warn(`the VM gets ${confidentialMemoryMb} MB instead of ${specified}: a confidential VM needs as much`);
  }
  return values.memorySize || Math.max(specified, confidentialMemoryMb);
}

/** In whole megabytes; 0 for none. */
function specifiedMemory({ resources: { memoryBytes } }: Context): number {
  if (memoryBytes > 0 && memoryBytes < mebibyte) {
    refuse("windows.resources.memory.limit", memoryBytes, `0, or at least ${mebibyte} bytes`);
  }
  return Math.floor(memoryBytes / mebibyte);
}

/** How the VM's size follows its containers. */
export function podSize(
  context: Context,
  isConfidential: boolean,
  { Memory, Processor }: ComputeTopology,
): WindowsPodSize {
  const { values, host } = context;
  return new WindowsPodSize({
    processors: Processor.Count,
    hostProcessors: host.processors,
    hostMemory: hostMemory(context),
    needs: {
      guest: values.guestMemory || defaultGuestMb,
      withoutLimits: values.memoryWithoutLimits || defaultMemoryMb,
    },
    fixedMemory: fixedMemory(context, isConfidential, Memory.SizeInMB),
    areProcessorsFixed: true,
  });
}

function fixedMemory(context: Context, isConfidential: boolean, size: number): string | undefined {
  const { values, resources } = context;
  if (values.memorySize) return `annotation or option ${keyOf("memorySize")} is ${values.memorySize}`;
  if (resources.memoryBytes > 0) return `windows.resources.memory.limit of the sandbox is ${resources.memoryBytes}`;
  if ((values.numaMappedNodes ?? []).length > 0) {
    return `the NUMA nodes that ${keyOf("numaMappedNodes")} asks for have ${size} MB`;
  }
  return isConfidential ? "a confidential VM keeps the memory that it boots with" : undefined;
}
