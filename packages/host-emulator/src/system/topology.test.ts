import { describe, expect, it } from "vitest";
import { memoryInformationOf, processorsOf, readCpuGroups, statisticsOf } from "./topology.ts";

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

describe("CPU groups", () => {
  const first = "5A3B9C64-1f0e-4c86-8f0b-6a6e9d8f7c21";
  const second = "5a3b9c64-1f0e-4c86-8f0b-6a6e9d8f7c22";

  it("are declared by id and processors", () => {
    const groups = readCpuGroups(`${first}=0-1; ${second}=3 ;`);
    expect(processorsOf(groups, first, "Id")).toBe("0-1");
    expect(processorsOf(groups, second.toUpperCase(), "Id")).toBe("3");
    expect(processorsOf(groups, "00000000-0000-0000-0000-000000000000", "Id")).toBeUndefined();
    expect(() => processorsOf(readCpuGroups(""), first, "Id")).toThrow(`Id: unknown CPU group ${first}`);
  });

  it.each(["first=0", `${first}`, `${first}=all`])("are refused in the form %s", (text) => {
    expect(() => readCpuGroups(text)).toThrow("expected <GUID>=<processors>");
  });
});
