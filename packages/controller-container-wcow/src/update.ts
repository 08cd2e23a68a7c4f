import { checked } from "@uvm-shim/container-common";
import { checkOciWindowsResources, type OciWindowsResources, type WindowsContainerChange } from "@uvm-shim/hcs-schema";
import type { Refuse } from "@uvm-shim/lifecycle";

const mebibyte = 2 ** 20;

/**
 * The requests that change a running container's limits; `resources` are OCI resources as parsed JSON, unchecked. The
 * VM has this number of processors.
 */
export function changesOf(resources: unknown, processors: number, refuse: Refuse): readonly WindowsContainerChange[] {
  const { memory, cpu } = checked(() => checkOciWindowsResources(resources), "resources", refuse);
  const changes: WindowsContainerChange[] = [];
  if (memory?.limit !== undefined) {
    changes.push({
      ResourcePath: "Container/Memory/SizeInMB",
      RequestType: "Update",
      Settings: sizeInMb(memory.limit, refuse),
    });
  }
  if (cpu !== undefined) {
    const Settings = processorOf(cpu, processors, refuse);
    if (Settings !== undefined) {
      changes.push({ ResourcePath: "Container/Processor", RequestType: "Update", Settings });
    }
  }
  return changes;
}

/** Even, as the VM's own. */
function sizeInMb(limit: number, refuse: Refuse): number {
  const whole = Math.floor(limit / mebibyte);
  if (whole === 0) {
    throw refuse("InvalidArgument", `resources: memory.limit is ${limit} bytes, expected at least ${mebibyte}`);
  }
  return whole + (whole % 2);
}

function processorOf(
  cpu: NonNullable<OciWindowsResources["cpu"]> & { readonly affinity?: unknown },
  processors: number,
  refuse: Refuse,
): { readonly Count?: number; readonly Maximum?: number; readonly Weight?: number } | undefined {
  const { count, maximum, shares, affinity } = cpu;
  const given = Object.entries({ count, maximum, shares }).filter(([, value]) => value !== undefined);
  if (given.length > 1) {
    const values = given.map(([name, value]) => `${name} ${value}`).join(", ");
    throw refuse("InvalidArgument", `resources: cpu has ${values}, expected one of count, maximum and shares`);
  }
  if (Array.isArray(affinity) && affinity.length > 0) {
    const why = "processors of a container in a VM are the VM's own";
    throw refuse("Unimplemented", `resources: cpu.affinity cannot be changed: ${why}`);
  }
  if (count !== undefined) return { Count: Math.min(count, processors) };
  if (maximum !== undefined) return { Maximum: maximum };
  if (shares !== undefined) return { Weight: shares };
  return undefined;
}
