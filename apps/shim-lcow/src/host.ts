import path from "node:path";
import { type ComputeHost, connectEmulatedHost, resolveHost } from "@uvm-shim/hcs-bindings";
import { type PlatformContext, ShimError } from "@uvm-shim/shim";

type HostContext = Pick<PlatformContext, "env" | "executableDirectory">;

/**
 * Connects to this machine's host: on Windows its own. Elsewhere the emulated one, which is started first where nobody
 * listens and UVM_SHIM_HOST allows that.
 */
export async function connectHost({ env, executableDirectory }: HostContext): Promise<ComputeHost> {
  if (process.platform === "win32") return await connectWindowsHost(env);
  const { socketPath, mayStart } = resolveHost(env);
  const start = mayStart
    ? { command: path.join(executableDirectory, "hcs-emulator"), env: emulatorEnvironment(env) }
    : undefined;
  return await connectEmulatedHost({ socketPath, start });
}

/** Connects to a host that runs; undefined where none may be used. NotFound (`gone`) where none runs. */
export async function connectRunningHost({ env }: HostContext): Promise<ComputeHost | undefined> {
  if (process.platform === "win32") return await connectWindowsHost(env);
  if (env.UVM_SHIM_HOST === "none") return undefined;
  return await connectEmulatedHost({ socketPath: resolveHost(env).socketPath, startOnDemand: false });
}

async function connectWindowsHost(env: NodeJS.ProcessEnv): Promise<ComputeHost> {
  const { computeCoreFunctions, nativeMachine, systemLibraries } = await import("@uvm-shim/hcs-bindings/windows");
  const { path: library } = nativeMachine().library(systemLibraries(env).computecore, computeCoreFunctions);
  throw new ShimError("Unimplemented", `this shim cannot use ${library} yet`);
}

/** It serves every shim of the machine, so it is given nothing that belongs to one of them. */
function emulatorEnvironment(env: NodeJS.ProcessEnv): { readonly [name: string]: string } {
  const names = ["PATH", "UVM_SHIM_HOST_IDLE_MS", "UVM_SHIM_HOST_DEVICES", "UVM_SHIM_HOST_CPU_GROUPS"];
  return Object.fromEntries(names.flatMap((name) => (env[name] === undefined ? [] : [[name, env[name]]])));
}
