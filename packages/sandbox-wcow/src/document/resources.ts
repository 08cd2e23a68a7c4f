import { type ContainerLimits, containerLimits, fieldsOf, PodSize, refuse } from "@uvm-shim/sandbox-common";

/** `windows.resources` of a specification; 0 where nothing is set. */
export interface WindowsResources {
  readonly memoryBytes: number;
  readonly processors: number;
  /** In hundredths of a percent. */
  readonly processorLimit: number;
  readonly processorWeight: number;
  readonly storageIops: number;
  readonly storageBandwidth: number;
}

const uint16 = 2 ** 16 - 1;
const uint64 = 2 ** 64;

/** Throws SandboxError. */
export function resourcesOf(specification: unknown): WindowsResources {
  const { resources } = fieldsOf(fieldsOf(specification).windows);
  return readResources(resources, "windows.resources");
}

/**
 * `windows.resources` of an unchecked specification; memory in bytes, 0 where nothing is said. Refuses numbers out of
 * range.
 */
export function readResources(resources: unknown, field: string): WindowsResources {
  const whole = (group: string, name: string, most: number): number => {
    const value = fieldsOf(fieldsOf(resources)[group])[name] ?? 0;
    if (typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= most) return value;
    const accepted = most === uint64 ? "a whole number from 0 up" : `a whole number from 0 to ${most}`;
    return refuse(`${field}.${group}.${name}`, value, accepted);
  };
  return {
    memoryBytes: whole("memory", "limit", uint64),
    processors: whole("cpu", "count", uint64),
    processorLimit: whole("cpu", "maximum", uint16),
    processorWeight: whole("cpu", "shares", uint16),
    storageIops: whole("storage", "iops", uint64),
    storageBandwidth: whole("storage", "bps", uint64),
  };
}

const mebibyte = 2 ** 20;
const memoryKey = "io.microsoft.container.memory.sizeinmb";

/**
 * Decides whether a VM is large enough for its Windows containers. A container with more processors than the VM gets
 * those of the VM, so that only memory counts.
 */
export class WindowsPodSize extends PodSize {
  updated({ memoryBytes }: ContainerLimits, resources: unknown): ContainerLimits {
    try {
      return containerLimits({ memoryBytes: readResources(resources, "resources").memoryBytes || memoryBytes });
    } catch {
      return containerLimits({ memoryBytes });
    }
  }

  protected specified(spec: unknown): ContainerLimits {
    const annotated = Number(fieldsOf(fieldsOf(spec).annotations)[memoryKey] ?? 0);
    const bytes = Number.isInteger(annotated) && annotated > 0 ? annotated * mebibyte : resourcesOf(spec).memoryBytes;
    return containerLimits({ memoryBytes: bytes || undefined });
  }
}
