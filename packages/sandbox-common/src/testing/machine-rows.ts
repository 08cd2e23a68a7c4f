/** Annotations about the VM and its host that mean the same for every guest. */
import type { ComputeTopology, Devices, StorageQoS } from "@uvm-shim/hcs-schema";
import { type SharedName, topology, vm } from "../annotations/shared-annotations.ts";
import { noNumbers, onOff, type Row, RowKinds, refused, type SettingRows } from "./setting-rows.ts";

/** What every sandbox has. */
export interface BuiltMachine extends ComputeTopology {
  readonly document: { readonly VirtualMachine: { readonly ResourcePartitionId?: string } };
  readonly settings: { readonly noWritableFileShares: boolean };
  readonly warnings: readonly string[];
  readonly Devices: Devices | undefined;
  readonly StorageQoS: StorageQoS | undefined;
}

const { flag, number } = new RowKinds<BuiltMachine, never>();

const int32 = 2 ** 31 - 1;
const uint32 = 2 ** 32 - 1;
const megabytes = 2 ** 40;
const group = "12345678-1234-5678-1234-567812345678";
const physical = { [`${vm}fullyphysicallybacked`]: "true" };
const perNode = `${topology}processor.numa.max-processors-per-node`;
const sizePerNode = `${topology}processor.numa.max-size-per-node`;
const mapped = { [`${topology}numa.mapped-physical-nodes`]: "0,1" };
const counts = { [`${topology}numa.count-of-processors`]: "1,1" };
const blocks = { [`${topology}numa.count-of-memory-blocks`]: "512,512" };
const needed = (other: string) => refused(`expected a positive number, as ${other} is given`);

/** The VM's size is rounded up to a multiple of 2 MiB. */
export const even = (megabytes: number): number => megabytes + (megabytes % 2);

const noGuid = [`{${group}}`, "not-a-guid", group.replaceAll("-", ""), `${group} `, "0", "a\nb"].map(
  (id): Row => [id, refused("expected a GUID without braces")],
);

/** Rows of the annotations about the VM and its host, for sandboxes of any guest on a host with eight processors. */
export const machineRows = {
  noWritableFileShares: flag(({ settings }) => settings.noWritableFileShares),
  processorCount: number(({ Processor }) => Processor.Count, {
    most: int32,
    sign: true,
    byDefault: 2,
    find: (asked) => Math.min(asked, 8),
  }),
  processorLimit: number(({ Processor }) => Processor.Limit, { most: 100_000, sign: true }),
  processorWeight: number(({ Processor }) => Processor.Weight, { most: 10_000, sign: true }),
  memorySize: number(({ Memory }) => Memory.SizeInMB, {
    most: megabytes,
    byDefault: 1024,
    find: (asked) => even(asked),
  }),
  memoryWithoutLimits: number(({ Memory }) => Memory.SizeInMB, { most: megabytes, byDefault: 1024, find: even }),
  processorsWithoutLimits: number(({ Processor }) => Processor.Count, {
    most: int32,
    sign: true,
    byDefault: 2,
    find: (asked) => Math.min(asked, 8),
  }),
  allowOvercommit: flag(({ Memory }) => Memory.AllowOvercommit ?? false, { ...onOff, byDefault: true }),
  deferredCommit: flag(({ Memory }) => Memory.EnableDeferredCommit ?? false),
  fullyPhysicallyBacked: flag(({ Memory }) => Memory.AllowOvercommit !== true),
  lowMmioGap: number(({ Memory }) => Memory.LowMmioGapInMB, { most: megabytes }),
  highMmioBase: number(({ Memory }) => Memory.HighMmioBaseInMB, { most: megabytes }),
  highMmioGap: number(({ Memory }) => Memory.HighMmioGapInMB, { most: megabytes }),
  storageBandwidth: number(({ StorageQoS }) => StorageQoS?.BandwidthMaximum, { most: int32, sign: true }),
  storageIops: number(({ StorageQoS }) => StorageQoS?.IopsMaximum, { most: int32, sign: true }),
  cpuGroup: {
    effect: ({ Processor }) => Processor.CpuGroup?.Id,
    default: undefined,
    valid: [[group, group]],
    boundary: [
      ["", undefined],
      ["ABCDEF12-1234-5678-1234-567812345678", "ABCDEF12-1234-5678-1234-567812345678"],
    ],
    invalid: noGuid,
  },
  resourcePartition: {
    effect: ({ document }) => document.VirtualMachine.ResourcePartitionId,
    default: undefined,
    valid: [[group, group]],
    boundary: [
      ["", undefined],
      ["ABCDEF12-1234-5678-1234-567812345678", "abcdef12-1234-5678-1234-567812345678"],
    ],
    invalid: noGuid,
  },
  numaProcessorsPerNode: {
    ...number(({ Processor }) => Processor.NumaProcessorsSettings?.count_per_node?.max, {
      given: { ...physical, [sizePerNode]: "512" },
      most: uint32,
      byDefault: needed(sizePerNode),
    }),
  },
  numaMemoryPerNode: number(({ Numa }) => Numa?.MaxSizePerNode, {
    given: { ...physical, [perNode]: "2" },
    most: megabytes,
    byDefault: needed(perNode),
  }),
  numaPreferredNodes: {
    given: { ...physical, [perNode]: "2", [sizePerNode]: "512" },
    effect: ({ Numa }) => Numa?.PreferredPhysicalNodes,
    default: undefined,
    valid: [["1,0", [1, 0]]],
    boundary: [
      ["", undefined],
      ["63", [63]],
      ["64", refused("numbers from 0 to 63")],
    ],
    invalid: noNumbers(uint32),
  },
  numaMappedNodes: {
    given: { ...physical, ...counts, ...blocks },
    effect: ({ Numa }) => Numa?.Settings?.map(({ PhysicalNodeNumber }) => PhysicalNodeNumber),
    default: refused("expected 1 to 64 physical nodes"),
    valid: [["1,0", [1, 0]]],
    boundary: [
      ["63,63", [63, 63]],
      ["255,255", [255, 255]],
      ["0,64", refused("numbers from 0 to 63, or 255 for any node")],
      ["0", refused("as many as")],
      ["", refused("expected 1 to 64 physical nodes")],
    ],
    invalid: noNumbers(uint32),
  },
  numaProcessors: {
    given: { ...physical, ...mapped, ...blocks },
    effect: ({ Numa }) => Numa?.Settings?.map(({ CountOfProcessors }) => CountOfProcessors),
    default: refused("expected 2 numbers"),
    valid: [["1,1", [1, 1]]],
    boundary: [
      ["2,0", [2, 0]],
      ["2,1", refused("a sum of 2, the VM's processors")],
      ["", refused("expected 2 numbers")],
    ],
    invalid: noNumbers(uint32),
  },
  numaMemoryBlocks: {
    given: { ...physical, ...mapped, ...counts },
    effect: ({ Numa }) => Numa?.Settings?.map(({ CountOfMemoryBlocks }) => CountOfMemoryBlocks),
    default: refused("expected 2 numbers"),
    valid: [["256,768", [256, 768]]],
    boundary: [
      ["1023,1", [1023, 1]],
      ["1024,0", refused("a positive number for every node")],
      ["1024,1", refused("a sum of 1024, the VM's memory in MB")],
    ],
    invalid: noNumbers(megabytes),
  },
} satisfies { readonly [Name in SharedName]?: SettingRows<BuiltMachine, never> };
