import { checkOciLinuxResources, type OciLinuxResources, SchemaError } from "@uvm-shim/hcs-schema";
import { type ContainerLimits, containerLimits, PodSize as SizeOfVm } from "@uvm-shim/sandbox-common";
import { limitsOf, resourcesOf } from "./pod-limits.ts";

/** Decides whether a VM is large enough for its Linux containers. */
export class PodSize extends SizeOfVm {
  updated({ memoryBytes, processors }: ContainerLimits, resources: unknown): ContainerLimits {
    const asked = checkedUpdate(resources);
    const next = limitsOf(asked);
    return containerLimits({
      memoryBytes: (asked.memory?.limit ?? 0) === 0 ? memoryBytes : next.memoryBytes,
      processors: (asked.cpu?.quota ?? 0) === 0 ? processors : next.processors,
    });
  }

  protected specified(spec: unknown): ContainerLimits {
    return containerLimits(limitsOf(resourcesOf(spec)));
  }
}

/** Invalid resources are refused by the container. */
function checkedUpdate(resources: unknown): OciLinuxResources {
  try {
    return checkOciLinuxResources(resources, "resources");
  } catch (error) {
    if (error instanceof SchemaError) return {};
    throw error;
  }
}
