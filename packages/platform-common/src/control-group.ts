import { posix } from "node:path";
import type { ComputeHost } from "@uvm-shim/hcs-bindings";
import { ControllerError, codeOf } from "@uvm-shim/lifecycle";
import type { SandboxRequest } from "@uvm-shim/shim";

/** A VM that has just been created. */
export interface NewVm {
  readonly vmId: string;
  readonly host: Pick<ComputeHost, "joinControlGroup">;
  /** The process that joins with it. */
  /** Absent if it serves other pods too. */
  readonly pid: number | undefined;
  /** Nothing else would end it after an error. */
  readonly endVm: () => Promise<void>;
}

/** Moves a VM that has just been created, and the process, into the pod's cgroup; ends the VM if it cannot. */
export async function joinPodsControlGroup(
  request: SandboxRequest,
  { vmId, host, pid, endVm }: NewVm,
  signal?: AbortSignal,
): Promise<void> {
  try {
    await joinControlGroup(controlGroupOf(request), vmId, host, pid, signal);
  } catch (error) {
    await endVm();
    throw error;
  }
}

interface RequestedGroup {
  readonly field: string;
  readonly path: string;
}

/**
 * The host cgroup that the client requests for the whole pod: the path in the sandbox container's specification, or a
 * group below the parent in the CRI configuration.
 */
export function controlGroupOf({ id, spec, pod }: SandboxRequest): RequestedGroup | undefined {
  const linux = (spec as { readonly linux?: { readonly cgroupsPath?: unknown } | null } | null | undefined)?.linux;
  const path = linux?.cgroupsPath;
  if (typeof path === "string" && path !== "") return { field: "linux.cgroupsPath", path };
  const parent = pod?.controlGroupParent;
  if (parent === undefined) return undefined;
  const slice = posix.basename(parent);
  // The last part of its path is the full name of a systemd slice.
  const group = slice.endsWith(".slice") ? `${slice}:uvm-shim:${id}` : posix.join(parent, id);
  return { field: "linux.cgroup_parent", path: group };
}

/**
 * Moves VM and shim into the pod's cgroup, if the host has cgroups. Throws InvalidArgument for an invalid path: without an
 * error the client would assume that the pod is limited.
 */
export async function joinControlGroup(
  group: RequestedGroup | undefined,
  vmId: string,
  host: Pick<ComputeHost, "joinControlGroup">,
  pid: number | undefined,
  signal?: AbortSignal,
): Promise<void> {
  if (group === undefined || host.joinControlGroup === undefined) return;
  const { field, path } = group;
  try {
    await host.joinControlGroup(vmId, path, pid, signal);
  } catch (error) {
    if (codeOf(error) !== "InvalidArgument") throw error;
    const message = `cannot join cgroup ${JSON.stringify(path)} (${field}): ${String(error)}`;
    throw new ControllerError("InvalidArgument", message, { operation: "join cgroup of", id: vmId, cause: error });
  }
}
