import type { ComputeHost } from "@uvm-shim/hcs-bindings";
import type { HostDescription, PlatformContext } from "@uvm-shim/shim";

/** Connects to the compute service of this Windows, or to the one that UVM_SHIM_HOST names. */
export async function connectWindows({ env }: Pick<PlatformContext, "env">): Promise<ComputeHost> {
  const { connectWindowsHost, resolveLibraries } = await import("@uvm-shim/hcs-bindings/windows");
  return await connectWindowsHost(resolveLibraries(env));
}

/** Undefined if no host may be used. */
export async function connectRunningWindows(context: Pick<PlatformContext, "env">): Promise<ComputeHost | undefined> {
  return context.env.UVM_SHIM_HOST === "none" ? undefined : await connectWindows(context);
}

/** Without its connection. DLLs of a folder are those of an emulated host. */
export function describeWindows({ env }: Pick<PlatformContext, "env">): Omit<HostDescription, "connected"> {
  const address = env.UVM_SHIM_HOST ?? "";
  return address.startsWith("libraries:") ? { kind: "emulated", address } : { kind: "windows" };
}
