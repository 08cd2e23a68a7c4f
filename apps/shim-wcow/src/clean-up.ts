import { unlessGone } from "@uvm-shim/lifecycle";
import { cleanUpInTurn, endVm, type HostContext, vmIdOf, withRunningHost } from "@uvm-shim/platform-common";
import type { Platform } from "@uvm-shim/shim";
import { removeOwnFiles } from "./own-files.ts";

/**
 * Removes what a killed shim may have left of a sandbox or of a container in it: its VM, the files that only this VM
 * used, and its credential guard, which the host keeps until it is told otherwise.
 */
export async function cleanUp(request: Parameters<Platform["cleanUp"]>[0], context: HostContext): Promise<void> {
  await cleanUpInTurn([
    () =>
      withRunningHost(context, (host) =>
        cleanUpInTurn([
          () => endVm(vmIdOf(request), host),
          async () => unlessGone(async () => host.windows?.removeCredentialGuard(request.id)),
        ]),
      ),
    () => removeOwnFiles(request.bundle),
  ]);
}
