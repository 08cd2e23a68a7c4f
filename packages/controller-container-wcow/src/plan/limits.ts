import type { OciWindowsLimits } from "@uvm-shim/hcs-schema";
import type { Refuse } from "@uvm-shim/lifecycle";
import type { WindowsContainerDocument } from "../document/container-document.ts";
import { type AnnotationName, type AnnotationValues, keyOf } from "../specification/annotations.ts";
import type { WindowsPlanOptions } from "./options.ts";

/** Limits, in the document's form; what is absent is unlimited. */
export interface Limits {
  readonly processor: WindowsContainerDocument["Processor"];
  readonly memoryInMb: number | bigint | undefined;
  readonly storage: WindowsContainerDocument["Storage"]["QoS"];
}

/** The container's share of the VM: annotations go before the specification's resources. */
export function planLimits(
  resources: OciWindowsLimits,
  values: AnnotationValues,
  options: WindowsPlanOptions,
  refuse: Refuse,
): Limits {
  const { cpu = {}, memory = {}, storage = {} } = resources;
  if (cpu.affinity !== undefined && cpu.affinity.length > 0) {
    options.warn("config.json: windows.resources.cpu.affinity has no effect on a container in a virtual machine");
  }
  const bandwidth = values.bandwidthMaximum || storage.bps;
  const iops = values.iopsMaximum || storage.iops;
  return {
    processor: planProcessor(cpu, values, options, refuse),
    memoryInMb: values.memoryInMb || megabytesOf(memory.limit ?? 0) || undefined,
    storage:
      bandwidth || iops
        ? { ...(bandwidth && { BandwidthMaximum: bandwidth }), ...(iops && { IopsMaximum: iops }) }
        : undefined,
  };
}

interface ProcessorLimit {
  readonly name: Extract<AnnotationName, `processor${string}`>;
  readonly field: "count" | "maximum" | "shares";
  readonly value: number;
  readonly where: string;
}

/** A count, a limit and a weight exclude each other. */
function planProcessor(
  cpu: NonNullable<OciWindowsLimits["cpu"]>,
  values: AnnotationValues,
  options: WindowsPlanOptions,
  refuse: Refuse,
): Limits["processor"] {
  const given = (name: ProcessorLimit["name"], field: ProcessorLimit["field"]): readonly ProcessorLimit[] => {
    const annotated = values[name];
    if (annotated) return [{ name, field, value: annotated, where: `annotation ${keyOf(name)}` }];
    const value = cpu[field];
    return value ? [{ name, field, value, where: `config.json: windows.resources.cpu.${field}` }] : [];
  };
  const [limit, other] = [
    ...given("processorCount", "count"),
    ...given("processorLimit", "maximum"),
    ...given("processorWeight", "shares"),
  ];
  if (limit === undefined) return {};
  if (other !== undefined) {
    const expected = `expected none, as ${limit.where} is ${limit.value}: a container has one of count, maximum and shares`;
    throw refuse("InvalidArgument", `${other.where} is ${other.value}, ${expected}`);
  }
  switch (limit.field) {
    case "count":
      return { Count: cappedCount(limit, options) };
    case "maximum":
      return { Maximum: scaledMaximum(limit.value, options) };
    case "shares":
      return { Weight: limit.value };
  }
}

function cappedCount({ value, where }: ProcessorLimit, { vm, warn }: WindowsPlanOptions): number {
  if (value <= vm.processors) return value;
  warn(`${where} is ${value}, more than the ${vm.processors} processors of the VM, which the container gets`);
  return vm.processors;
}

const all = 10_000;

/** Kubernetes divides by the processors of the host, and means processors. */
function scaledMaximum(maximum: number, { runtimeOptions, processors, vm }: WindowsPlanOptions): number {
  if (runtimeOptions?.scaleCpuLimitsToSandbox !== true) return maximum;
  return Math.min(Math.max(Math.floor((maximum * processors) / vm.processors), 1), all);
}

const megabyte = 2 ** 20;

function megabytesOf(bytes: number | bigint): number {
  return typeof bytes === "bigint" ? Number(bytes / BigInt(megabyte)) : Math.floor(bytes / megabyte);
}
