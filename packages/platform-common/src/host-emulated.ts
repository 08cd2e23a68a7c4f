import path from "node:path";
import { type ComputeHost, connectEmulatedHost, resolveHost } from "@uvm-shim/hcs-bindings";
import { hostVariables } from "@uvm-shim/host-protocol";
import type { HostDescription, PlatformContext } from "@uvm-shim/shim";

type HostContext = Pick<PlatformContext, "env" | "executableDirectory">;

/** Connects to the emulated host; starts it first if it does not run and UVM_SHIM_HOST allows that. */
export async function connectEmulated({ env, executableDirectory }: HostContext): Promise<ComputeHost> {
  const { socketPath, mayStart } = resolveHost(env);
  const start = mayStart
    ? { command: path.join(executableDirectory, "hcs-emulator"), env: emulatorEnvironment(env) }
    : undefined;
  return await connectEmulatedHost({ socketPath, start });
}

/** Connects to a running host; undefined if none may be used. Throws NotFound (`gone`) if none runs. */
export async function connectRunningEmulated({ env }: HostContext): Promise<ComputeHost | undefined> {
  if (env.UVM_SHIM_HOST === "none") return undefined;
  return await connectEmulatedHost({ socketPath: resolveHost(env).socketPath, startOnDemand: false });
}

/** Without its connection. */
export function describeEmulated({ env }: Pick<HostContext, "env">): Omit<HostDescription, "connected"> {
  return env.UVM_SHIM_HOST === "none"
    ? { kind: "emulated" }
    : { kind: "emulated", address: resolveHost(env).socketPath };
}

/** The emulated host serves every shim of the machine, so it must not inherit the environment of one. */
function emulatorEnvironment(env: NodeJS.ProcessEnv): { readonly [name: string]: string } {
  const names = ["PATH", ...Object.values(hostVariables)];
  return Object.fromEntries(names.flatMap((name) => (env[name] === undefined ? [] : [[name, env[name]]])));
}
