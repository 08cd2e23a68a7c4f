import type { PlannedVm, Platform, PlatformContext, Sandbox, SandboxRequest } from "@uvm-shim/shim";
import { endVm, withRunningHost } from "./clean-up.ts";
import { HostConnection } from "./connection.ts";

/** What a flavour does on the host. */
export interface PlatformFlavour extends Pick<Platform, "os"> {
  createSandbox(
    request: SandboxRequest,
    connection: HostConnection,
    context: PlatformContext,
    signal?: AbortSignal,
  ): Promise<Sandbox>;
  cleanUp(request: Parameters<Platform["cleanUp"]>[0], context: PlatformContext): Promise<void>;
  /** Absent where each pod's VM boots from files of its own. */
  planVm?(context: PlatformContext): Promise<PlannedVm>;
}

/** The platform of a flavour: its sandboxes share one connection to this machine's compute service. */
export function hostPlatform(flavour: PlatformFlavour, context: PlatformContext): Platform {
  const { os, createSandbox, cleanUp, planVm } = flavour;
  const connection = new HostConnection(context);
  return {
    os,
    createSandbox: async (request, signal) => {
      // A host that is not there is named before the boot files that are not there either. A VM that is ready has its own.
      if (context.readyVms === undefined) await connection.connect();
      return await createSandbox(request, connection, context, signal);
    },
    cleanUp: (request) => cleanUp(request, context),
    ...(planVm && {
      planVm: () => planVm(context),
      endReadyVm: (id: string) => withRunningHost(context, (host) => endVm(id, host)),
    }),
    describeHost: () => connection.describe(),
    close: () => connection.close(),
  };
}
