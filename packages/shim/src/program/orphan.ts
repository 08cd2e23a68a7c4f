import type { Clock } from "@uvm-shim/lifecycle";

/** A shim that has had neither sandbox nor task from one look to the next was forgotten by its containerd. */
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
    if (wasIdle && services.isIdle) end("nobody asked for a sandbox or task");
    wasIdle = services.isIdle;
  }
}
