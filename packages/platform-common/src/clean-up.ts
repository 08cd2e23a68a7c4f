import type { ComputeHost } from "@uvm-shim/hcs-bindings";
import { abortable, unlessGone } from "@uvm-shim/lifecycle";
import type { PlatformContext } from "@uvm-shim/shim";
import { connectRunningHost } from "./host.ts";

/** Leaves time for the rest of `delete`, for which containerd allows 5 s. */
const exitMilliseconds = 3_000;

/** Where the host is, for those who only clean up on it. */
export type HostContext = Pick<PlatformContext, "env" | "executableDirectory">;

/** Takes every step, whatever came of those before, and then throws what has failed. */
export async function cleanUpInTurn(steps: readonly (() => Promise<void>)[]): Promise<void> {
  const failures: unknown[] = [];
  for (const step of steps) await step().catch((error: unknown) => failures.push(error));
  if (failures.length > 1) throw new AggregateError(failures, failures.map(String).join("; "));
  if (failures.length === 1) throw failures[0];
}

/** Does the work with a host that runs; no effect where none does, or none may be used. */
export async function withRunningHost(context: HostContext, work: (host: ComputeHost) => Promise<void>): Promise<void> {
  await unlessGone(async () => {
    const host = await connectRunningHost(context);
    if (host === undefined) return;
    try {
      await work(host);
    } finally {
      await host.close();
    }
  });
}

/** Ends a VM that a killed shim may have left, and waits for its end. */
export async function endVm(vmId: string, host: Pick<ComputeHost, "openComputeSystem">): Promise<void> {
  await unlessGone(async () => {
    const system = await host.openComputeSystem(vmId);
    try {
      await system.terminate();
      await abortable(system.exited, AbortSignal.timeout(exitMilliseconds));
    } finally {
      await system.close();
    }
  });
}
