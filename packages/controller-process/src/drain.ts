import type { RelayProgress } from "./relay.ts";
import type { ProcessClock } from "./types.ts";

/**
 * How long output may stand still after the exit before the process counts as drained. None bounds the total time,
 * so a slow client loses nothing.
 */
export interface DrainLimits {
  /** Between two looks at the output; a program that was held up looks often enough before it gives up. */
  readonly lookMs: number;
  /**
   * Nothing comes from the guest, yet a pipe stays open: something the process left behind holds it. Short, because a
   * guest tells the exit once the process's own output is on its way (`LinuxProcess.wait`).
   */
  readonly quietMs: number;
  /** The client does not take what it is offered. */
  readonly stalledMs: number;
  /** Time for a guest that no longer knows the process to tell how it ended all the same. */
  readonly lostMs: number;
}

export const defaultDrainLimits: DrainLimits = { lookMs: 50, quietMs: 250, stalledMs: 10_000, lostMs: 5_000 };

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
    const waited = clock.delay(limits.lookMs, timer.signal).then(() => "waited" as const);
    waited.catch(() => {});
    const first = await Promise.race([drained, waited]);
    timer.abort();
    if (first === "drained") return "drained";
    stillForMs = progress.steps === stepsBefore ? stillForMs + limits.lookMs : 0;
    const limit = progress.pending > 0 ? limits.stalledMs : limits.quietMs;
    if (stillForMs >= limit) return "gave up";
  }
}
