import {
  type ComputeSystemDocument,
  type HvSocketServiceConfig,
  type ModifySettingRequest,
  type ProcessorLimits,
  processorLimit,
  resourcePaths,
} from "@uvm-shim/hcs-schema";

/** Whether a VM that runs can become the VM of another document, and by what. */
export type Fit =
  | {
      readonly kind: "fits";
      /** What the host is asked to change, in this order. */
      readonly changes: readonly ModifySettingRequest[];
    }
  | {
      readonly kind: "differs";
      /** The first field that has to be right before the boot. */
      readonly field: string;
      readonly running: unknown;
      readonly wanted: unknown;
    };

/** What a document says of one field; undefined if it has none. */
interface Values {
  readonly running: unknown;
  readonly wanted: unknown;
}

/** The requests that make a field what is wanted; undefined if it cannot be changed. */
type Change = (values: Values, running: ComputeSystemDocument) => readonly ModifySettingRequest[] | undefined;

const update = (ResourcePath: string, Settings: unknown): ModifySettingRequest => ({
  ...{ ResourcePath, RequestType: "Update", Settings },
});

/**
 * The fields that HCS changes while a VM runs, and those that mean nothing to it. All others are given to a VM when it is
 * made: its processors, NUMA nodes, kernel and disks of the boot, serial ports, assigned devices, and how its memory is backed.
 */
const changeable: { readonly [field: string]: Change } = {
  // Says who made it; nothing depends on it.
  Owner: () => [],
  // Only memory that is not physical, and not divided between nodes.
  "VirtualMachine.ComputeTopology.Memory.SizeInMB": ({ wanted }, { VirtualMachine: { ComputeTopology } }) =>
    ComputeTopology.Memory.AllowOvercommit === true && ComputeTopology.Numa === undefined
      ? [update(resourcePaths.memorySize, wanted)]
      : undefined,
  "VirtualMachine.ComputeTopology.Processor.Limit": ({ wanted }) => [
    limits({ Limit: (wanted as number | undefined) ?? processorLimit.unlimited }),
  ],
  "VirtualMachine.ComputeTopology.Processor.Weight": ({ wanted }) => [
    limits({ Weight: (wanted as number | undefined) ?? processorLimit.defaultWeight }),
  ],
  // A VM joins a group, and another one; it does not leave.
  "VirtualMachine.ComputeTopology.Processor.CpuGroup": ({ wanted }) =>
    wanted === undefined ? undefined : [update(resourcePaths.cpuGroup, wanted)],
  "VirtualMachine.Devices.HvSocket.HvSocketConfig.ServiceTable": ({ running, wanted }) =>
    serviceChanges((running ?? {}) as ServiceTable, (wanted ?? {}) as ServiceTable),
};

type ServiceTable = { readonly [serviceGuid: string]: HvSocketServiceConfig };

function limits(settings: ProcessorLimits): ModifySettingRequest {
  return update(resourcePaths.processorLimits, settings);
}

function serviceChanges(running: ServiceTable, wanted: ServiceTable): readonly ModifySettingRequest[] {
  const removed = Object.keys(running).filter((guid) => !Object.hasOwn(wanted, guid));
  const set = Object.entries(wanted).filter(([guid, entry]) => !isEqual(running[guid], entry));
  return [
    ...removed.map((guid) => ({ ResourcePath: resourcePaths.hvSocketService(guid), RequestType: "Remove" }) as const),
    ...set.map(([guid, entry]) => update(resourcePaths.hvSocketService(guid), entry)),
  ];
}

/** Whether a VM that runs by one document can be changed to what another one asks for. */
export function fitDocument(running: ComputeSystemDocument, wanted: ComputeSystemDocument): Fit {
  const changes: ModifySettingRequest[] = [];
  const compare = (field: string, values: Values): Difference | undefined => {
    if (isEqual(values.running, values.wanted)) return undefined;
    const change = Object.hasOwn(changeable, field) ? changeable[field]?.(values, running) : undefined;
    if (change !== undefined) {
      changes.push(...change);
      return undefined;
    }
    if (!isTree(values.running) || !isTree(values.wanted)) return { field, ...values };
    const differences = keysOf(values.running, values.wanted).map((key) =>
      compare(field === "" ? key : `${field}.${key}`, {
        running: own(values.running, key),
        wanted: own(values.wanted, key),
      }),
    );
    return differences.find((difference) => difference !== undefined);
  };
  const difference = compare("", { running, wanted });
  return difference === undefined ? { kind: "fits", changes } : { kind: "differs", ...difference };
}

/** In words for a log. */
export function describeDifference({ field, running, wanted }: Extract<Fit, { kind: "differs" }>): string {
  const [ready, own] = [shown(running), shown(wanted)];
  if (ready === undefined || own === undefined) return `${field} differs from that of the VMs that are ready`;
  return `${field} is ${ready} in the VMs that are ready, and ${own} for this pod`;
}

interface Difference extends Values {
  readonly field: string;
}

const longestShown = 60;

/**
 * Undefined for what is not shown: command lines of kernels are long, and may have what an annotation's author keeps to
 * himself.
 */
function shown(value: unknown): string | undefined {
  if (value === undefined) return "absent";
  const text = isTree(value) ? undefined : JSON.stringify(value);
  return text === undefined || text.length > longestShown ? undefined : text;
}

function isEqual(one: unknown, other: unknown): boolean {
  if (!isTree(one) || !isTree(other)) return Object.is(one, other);
  if (Array.isArray(one) !== Array.isArray(other)) return false;
  return keysOf(one, other).every((key) => isEqual(own(one, key), own(other, key)));
}

function isTree(value: unknown): value is object {
  return typeof value === "object" && value !== null;
}

function keysOf(one: object, other: object): readonly string[] {
  return [...new Set([...Object.keys(one), ...Object.keys(other)])];
}

function own(tree: unknown, key: string): unknown {
  return Object.hasOwn(tree as object, key) ? (tree as Record<string, unknown>)[key] : undefined;
}
