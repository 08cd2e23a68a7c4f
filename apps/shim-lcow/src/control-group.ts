import { posix } from "node:path";
import type { ComputeHost } from "@uvm-shim/hcs-bindings";
import { ControllerError, codeOf } from "@uvm-shim/lifecycle";
import type { SandboxRequest } from "@uvm-shim/shim";

interface NamedGroup {
  readonly field: string;
  readonly path: string;
}

/**
 * The cgroup of the host that a sandbox's caller wants all of the pod in, by the name that container runtimes of the host
 * would be given: by the specification of its container, or below the parent that CRI's configuration tells.
 */
export function controlGroupOf({ id, spec, pod }: SandboxRequest): NamedGroup | undefined {
  const linux = (spec as { readonly linux?: { readonly cgroupsPath?: unknown } | null } | null | undefined)?.linux;
  const path = linux?.cgroupsPath;
  if (typeof path === "string" && path !== "") return { field: "linux.cgroupsPath", path };
  const parent = pod?.controlGroupParent;
  if (parent === undefined) return undefined;
  const slice = posix.basename(parent);
  // systemd's slices are named by their last part alone.
  const below = slice.endsWith(".slice") ? `${slice}:uvm-shim:${id}` : posix.join(parent, id);
  return { field: "linux.cgroup_parent", path: below };
}

/**
 * Has VM and shim stand in the pod's group, where the host has cgroups. InvalidArgument for what can be none: a caller
 * that is not told would take the pod for bounded.
 */
export async function joinControlGroup(
  group: NamedGroup | undefined,
  vmId: string,
  host: Pick<ComputeHost, "joinControlGroup">,
  pid: number,
  signal?: AbortSignal,
): Promise<void> {
  if (group === undefined || host.joinControlGroup === undefined) return;
  const { field, path } = group;
  try {
    await host.joinControlGroup(vmId, path, pid, signal);
  } catch (error) {
    if (codeOf(error) !== "InvalidArgument") throw error;
    const message = `${field} is ${JSON.stringify(path)}, which cannot be joined: ${String(error)}`;
    throw new ControllerError("InvalidArgument", message, { operation: "join cgroup of", id: vmId, cause: error });
  }
}
