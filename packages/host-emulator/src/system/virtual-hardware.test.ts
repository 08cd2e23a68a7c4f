import { type ComputeTopology, hresults, type VirtualMachine } from "@uvm-shim/hcs-schema";
import { describe, expect, it } from "vitest";
import { checkNuma, refuseUnemulated } from "./virtual-hardware.ts";

const topology = { Memory: { SizeInMB: 64 }, Processor: { Count: 2 } };
const machine: VirtualMachine = { Chipset: {}, ComputeTopology: topology };

describe("hardware that is not emulated", () => {
  it.each([
    [
      { GuestState: {} },
      "ERROR_NOT_SUPPORTED",
      "VirtualMachine.GuestState: isolation is not supported by the emulated host",
    ],
    [{ SecuritySettings: {} }, "ERROR_NOT_SUPPORTED", "VirtualMachine.SecuritySettings: "],
    [
      { Version: { Major: 13, Minor: 1 } },
      "ERROR_NOT_SUPPORTED",
      "VirtualMachine.Version: expected at most 12.0, got 13.1",
    ],
    [{ ResourcePartitionId: "11111111-2222-3333-4444-555555555555" }, "ERROR_NOT_FOUND", "resource partition 1111"],
  ] as const)("is refused: %j", (part, result, message) => {
    const refusing = () => refuseUnemulated({ ...machine, ...part });
    expect(refusing).toThrow(expect.objectContaining({ hresult: hresults[result] }));
    expect(refusing).toThrow(message);
  });

  it("is absent from ordinary VMs", () => {
    expect(() => refuseUnemulated({ ...machine, Version: { Major: 12 } })).not.toThrow();
  });
});

describe("NUMA nodes", () => {
  const settings = (...nodes: readonly (readonly [number, number])[]) => ({
    VirtualNodeCount: nodes.length,
    Settings: nodes.map(([CountOfProcessors, CountOfMemoryBlocks]) => ({ CountOfProcessors, CountOfMemoryBlocks })),
  });

  it.each<[Partial<ComputeTopology>]>([
    [{}],
    [{ Numa: settings([1, 32], [1, 32]) }],
    [{ Numa: { MaxSizePerNode: 32 }, Processor: { Count: 2, NumaProcessorsSettings: { count_per_node: { max: 1 } } } }],
  ])("%j are accepted", (part) => {
    expect(() => checkNuma({ ...topology, ...part })).not.toThrow();
  });

  it.each<[Partial<ComputeTopology>, string]>([
    [{ Processor: { Count: 2, NumaProcessorsSettings: {} } }, "Processor.NumaProcessorsSettings: expected only with"],
    [{ Numa: {}, Memory: { SizeInMB: 64, AllowOvercommit: true } }, "Memory.AllowOvercommit: expected false"],
    [{ Numa: { ...settings([2, 64]), VirtualNodeCount: 2 } }, "Numa.VirtualNodeCount: expected 1"],
    [{ Numa: settings([1, 64]) }, "Numa.Settings.CountOfProcessors: expected a sum of 2, got 1"],
    [{ Numa: settings([2, 32]) }, "Numa.Settings.CountOfMemoryBlocks: expected a sum of 64, got 32"],
  ])("%j are refused", (part, message) => {
    expect(() => checkNuma({ ...topology, ...part })).toThrow(message);
  });
});
