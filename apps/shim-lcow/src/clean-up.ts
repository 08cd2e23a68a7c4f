import path from "node:path";
import type { ComputeSystem } from "@uvm-shim/hcs-bindings";
import { abortable, unlessGone } from "@uvm-shim/lifecycle";
import type { Platform, PlatformContext } from "@uvm-shim/shim";
import { connectRunningHost, createHostFiles } from "./host.ts";
import { vmIdOf } from "./vm-id.ts";

/** Leaves time for the rest of `delete`, for which containerd allows 5 s. */
const exitMilliseconds = 3_000;

/** Removes what a killed shim may have left of a sandbox: its VM and the mounts in its bundle. */
export async function cleanUp(
  request: Parameters<Platform["cleanUp"]>[0],
  context: Pick<PlatformContext, "env" | "executableDirectory">,
): Promise<void> {
  const outcomes = await Promise.allSettled([unlessGone(() => endVm(vmIdOf(request), context))]);
  // After the VM, which uses the mounts.
  const files = createHostFiles({ grantVmAccess: async () => {} });
  outcomes.push(...(await Promise.allSettled([files.unmountAll(path.join(request.bundle, "rootfs"))])));
  const failures = outcomes.filter((outcome) => outcome.status === "rejected").map(({ reason }): unknown => reason);
  if (failures.length > 1) throw new AggregateError(failures, failures.map(String).join("; "));
  if (failures.length === 1) throw failures[0];
}

async function endVm(vmId: string, context: Pick<PlatformContext, "env" | "executableDirectory">): Promise<void> {
  const host = await connectRunningHost(context);
  if (host === undefined) return;
  try {
    await endSystem(await host.openComputeSystem(vmId));
  } finally {
    await host.close();
  }
}

async function endSystem(system: ComputeSystem): Promise<void> {
  try {
    await system.terminate();
    await abortable(system.exited, AbortSignal.timeout(exitMilliseconds));
  } finally {
    await system.close();
  }
}
