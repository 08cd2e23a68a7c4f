import path from "node:path";
import {
  cleanUpInTurn,
  createHostFiles,
  endVm,
  type HostContext,
  vmIdsOf,
  withRunningHost,
} from "@uvm-shim/platform-common";
import type { Platform } from "@uvm-shim/shim";

/** Removes what a killed shim may have left of a sandbox: its VM and, after it, the mounts in its bundle that it uses. */
export async function cleanUp(request: Parameters<Platform["cleanUp"]>[0], context: HostContext): Promise<void> {
  const files = createHostFiles({ grantVmAccess: async () => {} });
  const vmIds = await vmIdsOf(request);
  await cleanUpInTurn([
    () => withRunningHost(context, (host) => cleanUpInTurn(vmIds.map((id) => () => endVm(id, host)))),
    () => files.unmountAll(path.join(request.bundle, "rootfs")),
  ]);
}
