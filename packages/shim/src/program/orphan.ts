import type { Clock } from "@uvm-shim/lifecycle";

/** How long a shim without sandbox and task runs before it exits. */
export const orphanMilliseconds = 60_000;

/** A shim that had neither sandbox nor task at two checks in a row has been forgotten by containerd. */
export async function endWhenOrphaned(
  services: { readonly isIdle: boolean },
  milliseconds: number,
  clock: Clock,
  signal: AbortSignal,
  end: (reason: string) => void,
): Promise<void> {
  let wasIdle = true;
  while (!signal.aborted) {
    await clock.delay(milliseconds, signal).catch(() => {});
    if (wasIdle && services.isIdle) end("no client has created a sandbox or task");
    wasIdle = services.isIdle;
  }
}
