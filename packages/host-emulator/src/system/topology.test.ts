import { describe, expect, it } from "vitest";
import { memoryInformationOf, processorsOf, statisticsOf } from "./topology.ts";

const usage = {
  processorNs: 3_456,
  processorUserNs: 2_000,
  processorKernelNs: 1_456,
  memoryBytes: 64 * 2 ** 20,
  memoryLimitBytes: 256 * 2 ** 20,
};

describe("the usage of a system", () => {
  it("counts processor time and uptime in steps of 100 ns", () => {
    const started = new Date("2026-01-01T00:00:00.000Z");
    expect(statisticsOf(usage, started, new Date("2026-01-01T00:00:01.500Z"))).toEqual({
      Timestamp: "2026-01-01T00:00:01.500Z",
      Uptime100ns: 15_000_000,
      Processor: { TotalRuntime100ns: 34, RuntimeUser100ns: 20, RuntimeKernel100ns: 14 },
    });
  });

  it.each([
    [true, 65_536],
    [false, 0],
  ])("counts memory in pages (physically backed: %s)", (physicallyBacked, reserved) => {
    expect(memoryInformationOf(usage, physicallyBacked)).toMatchObject({
      VirtualNodeCount: 1,
      VirtualMachineMemory: { AvailableMemory: 75, AssignedMemory: 65_536, ReservedMemory: reserved },
    });
  });
});

it("CPU groups are found by id, in any case", () => {
  const [first, other] = ["5a3b9c64-1f0e-4c86-8f0b-6a6e9d8f7c21", "00000000-0000-0000-0000-000000000000"];
  const groups = new Map([[first, "0-1"]]);
  expect(processorsOf(groups, first.toUpperCase(), "Id")).toBe("0-1");
  expect(processorsOf(groups, other, "Id")).toBeUndefined();
  expect(() => processorsOf(new Map(), first, "Id")).toThrow(`Id: unknown CPU group ${first}`);
});
