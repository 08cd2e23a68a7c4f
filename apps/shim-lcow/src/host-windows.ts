import type { ComputeHost } from "@uvm-shim/hcs-bindings";
import { type PlatformContext, ShimError } from "@uvm-shim/shim";

/** Connects to the compute service of the Windows that runs. Unavailable where it has none. */
export async function connectWindowsHost({ env }: Pick<PlatformContext, "env">): Promise<ComputeHost> {
  const { computeCoreFunctions, nativeMachine, systemLibraries } = await import("@uvm-shim/hcs-bindings/windows");
  const { path: library } = nativeMachine().library(systemLibraries(env).computecore, computeCoreFunctions);
  throw new ShimError("Unimplemented", `this shim cannot use ${library} yet`);
}
