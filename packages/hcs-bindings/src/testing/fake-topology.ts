import {
  checkCpuGroup,
  checkMemorySize,
  checkProcessorLimits,
  guestPageBytes,
  type MemoryInformation,
  type ProcessorLimits,
  resourcePaths,
  type SystemStatistics,
} from "@uvm-shim/hcs-schema";
import { FakeRefusal } from "./fake-refusal.ts";

/** Working set of every fake system, in bytes. */
const occupied = 64 * 2 ** 20;
const noCpuGroup = "00000000-0000-0000-0000-000000000000";

/** Memory and processors of a running fake system. */
export class FakeTopology {
  memoryMb: number;
  limits: ProcessorLimits = {};
  #queries = 0;

  readonly #hasCpuGroup: (id: string) => boolean;

  constructor(memoryMb: number, hasCpuGroup: (id: string) => boolean) {
    this.memoryMb = memoryMb;
    this.#hasCpuGroup = hasCpuGroup;
  }

  /** Bytes of host memory that the VM uses. */
  get workingSet(): number {
    return Math.min(occupied, this.memoryMb * 2 ** 20);
  }

  /** Throws for settings that do not fit the path. */
  update(path: string, settings: unknown): void {
    switch (path) {
      case resourcePaths.memorySize:
        this.memoryMb = checkMemorySize(settings, "Settings");
        return;
      case resourcePaths.processorLimits:
        this.limits = { ...this.limits, ...checkProcessorLimits(settings, "Settings") };
        return;
      case resourcePaths.cpuGroup: {
        const { Id } = checkCpuGroup(settings, "Settings");
        if (Id === noCpuGroup || this.#hasCpuGroup(Id)) return;
        throw new FakeRefusal("ERROR_NOT_FOUND", `CPU group ${Id} does not exist`);
      }
    }
  }

  get memory(): MemoryInformation {
    const pages = (this.memoryMb * 2 ** 20) / guestPageBytes;
    return { VirtualNodeCount: 1, VirtualMachineMemory: { AssignedMemory: pages, ReservedMemory: 0 } };
  }

  /** Processor time increases with each query. */
  get statistics(): SystemStatistics {
    this.#queries += 1;
    return { Processor: { TotalRuntime100ns: this.#queries } };
  }
}

/** Whether a modify request is about memory or processors. */
export function isTopologyPath(path: string): boolean {
  return [resourcePaths.memorySize, resourcePaths.processorLimits, resourcePaths.cpuGroup].some((one) => one === path);
}
