import { guestPageBytes, resourcePaths } from "@uvm-shim/hcs-schema";
import { describe, expect, it } from "vitest";
import type { ComputeSystem } from "../types.ts";

/** What the contract must know of the host's VMs. */
export interface ResourceContractHost {
  /** What its documents give the VM. */
  readonly memoryMb: number;
}

/** The contract for memory, processors and statistics of a system. */
export function describeResourceContract(on: () => ResourceContractHost, create: () => Promise<ComputeSystem>): void {
  describe("properties of a system", () => {
    it("include statistics and memory on request", async () => {
      const system = await create();
      await system.start();
      const plain = await system.properties([]);
      expect(plain.Statistics).toBeUndefined();
      expect(plain.Memory).toBeUndefined();
      const { Statistics: statistics, Memory: memory } = await system.properties(["Statistics", "Memory"]);
      expect(statistics?.Processor?.TotalRuntime100ns).toBeGreaterThan(0);
      expect(memory?.VirtualNodeCount).toBeGreaterThan(0);
      expect(memory?.VirtualMachineMemory?.AssignedMemory).toBe((on().memoryMb * 2 ** 20) / guestPageBytes);
      const later = await system.properties(["Statistics"]);
      expect(later.Memory).toBeUndefined();
      expect(later.Statistics?.Processor?.TotalRuntime100ns).toBeGreaterThanOrEqual(
        statistics?.Processor?.TotalRuntime100ns ?? Number.NaN,
      );
    });

    it("include the working set of a running system", async () => {
      const system = await create();
      await expect(system.workingSet()).rejects.toMatchObject({ hresultName: "HCS_E_INVALID_STATE" });
      await expect(system.properties(["Statistics"])).rejects.toMatchObject({ hresultName: "HCS_E_INVALID_STATE" });
      await system.start();
      const bytes = await system.workingSet();
      expect(bytes).toBeGreaterThan(2 ** 20);
      expect(bytes).toBeLessThanOrEqual(on().memoryMb * 2 ** 20);
    });
  });

  describe("updates", () => {
    const update = (system: ComputeSystem, ResourcePath: string, Settings: unknown): Promise<void> =>
      system.modify({ ResourcePath, RequestType: "Update", Settings });

    it("change the memory of a running system", async () => {
      const system = await create();
      const size = on().memoryMb + 64;
      await expect(update(system, resourcePaths.memorySize, size)).rejects.toMatchObject({
        hresultName: "HCS_E_INVALID_STATE",
      });
      await system.start();
      await update(system, resourcePaths.memorySize, size);
      const { Memory: memory } = await system.properties(["Memory"]);
      expect(memory?.VirtualMachineMemory?.AssignedMemory).toBe((size * 2 ** 20) / guestPageBytes);
    });

    it.each([["256"], [0], [255], [-2], [null]])("refuse the memory size %j", async (size) => {
      const system = await create();
      await system.start();
      await expect(update(system, resourcePaths.memorySize, size)).rejects.toMatchObject({ code: "InvalidArgument" });
    });

    it("change the processor limits of a running system", async () => {
      const system = await create();
      await system.start();
      await update(system, resourcePaths.processorLimits, { Limit: 50_000, Weight: 200 });
      await update(system, resourcePaths.processorLimits, { Limit: 100_000 });
      for (const limits of [{ Limit: 0 }, { Limit: 100_001 }, { Weight: 10_001 }, { Count: 2 }, "fast"]) {
        await expect(update(system, resourcePaths.processorLimits, limits)).rejects.toMatchObject({
          code: "InvalidArgument",
        });
      }
    });

    it("refuse an unknown CPU group", async () => {
      const system = await create();
      await system.start();
      const Id = "5a3b9c64-1f0e-4c86-8f0b-6a6e9d8f7c21";
      await expect(update(system, resourcePaths.cpuGroup, { Id })).rejects.toMatchObject({ code: "NotFound" });
      await expect(update(system, resourcePaths.cpuGroup, { Id: "first" })).rejects.toMatchObject({
        code: "InvalidArgument",
      });
    });

    it("are the only requests to these resource paths", async () => {
      const system = await create();
      await system.start();
      const request = { ResourcePath: resourcePaths.memorySize, RequestType: "Add", Settings: 256 } as const;
      await expect(system.modify(request)).rejects.toMatchObject({ code: "InvalidArgument" });
    });
  });
}
