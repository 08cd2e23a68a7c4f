import type { RelayProgress } from "./relay.ts";
import type { ProcessClock } from "./types.ts";

/**
 * How long output may stand still after the exit before the process counts as drained. Neither bounds the total
 * time, so a slow client loses nothing.
 */
export interface DrainLimits {
  /** Nothing comes from the guest, yet a pipe stays open: something the process left behind holds it. */
  readonly quietMs: number;
  /** The client does not take what it is offered. */
  readonly stalledMs: number;
}

export const defaultDrainLimits: DrainLimits = { quietMs: 5_000, stalledMs: 10_000 };

/** Waits until the relays have ended, or until nothing has moved for as long as the limits allow. */
export async function drain(
  relays: Promise<unknown>,
  progress: RelayProgress,
  limits: DrainLimits,
  clock: ProcessClock,
): Promise<"drained" | "gave up"> {
  const drained = relays.then(() => "drained" as const);
  let stillForMs = 0;
  for (;;) {
    const stepsBefore = progress.steps;
    const timer = new AbortController();
    const waited = clock.delay(limits.quietMs, timer.signal).then(() => "waited" as const);
    waited.catch(() => {});
    const first = await Promise.race([drained, waited]);
    timer.abort();
    if (first === "drained") return "drained";
    stillForMs = progress.steps === stepsBefore ? stillForMs + limits.quietMs : 0;
    const limit = progress.pending > 0 ? limits.stalledMs : limits.quietMs;
    if (stillForMs >= limit) return "gave up";
  }
}
