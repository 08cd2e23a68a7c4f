import type { ComputeHost } from "@uvm-shim/hcs-bindings";
import type { Platform, PlatformContext, Sandbox, SandboxRequest } from "@uvm-shim/shim";
import { HostConnection } from "./connection.ts";

/** What a flavour does on the host. */
export interface PlatformFlavour extends Pick<Platform, "os"> {
  createSandbox(
    request: SandboxRequest,
    host: ComputeHost,
    context: PlatformContext,
    signal?: AbortSignal,
  ): Promise<Sandbox>;
  cleanUp(request: Parameters<Platform["cleanUp"]>[0], context: PlatformContext): Promise<void>;
}

/** The platform of a flavour: its sandboxes share one connection to this machine's compute service. */
export function hostPlatform({ os, createSandbox, cleanUp }: PlatformFlavour, context: PlatformContext): Platform {
  const connection = new HostConnection(context);
  return {
    os,
    createSandbox: async (request, signal) => await createSandbox(request, await connection.connect(), context, signal),
    cleanUp: (request) => cleanUp(request, context),
    describeHost: () => connection.describe(),
    close: () => connection.close(),
  };
}
