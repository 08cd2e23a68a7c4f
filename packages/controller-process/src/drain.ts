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
   * The guest has told the exit, and nothing comes from it though a stream stays open. Short: a guest tells the exit
   * once the output has ended, so that only its last bytes can still be on the way.
   */
  readonly quietMs: number;
  /** The client does not take what it is offered. */
  readonly stalledMs: number;
  /**
   * The process has gone and its exit is not told: as long as this, all of it together, the client is waited with that
   * has taken all there was. What comes after that is of others, who hold the process's output.
   */
  readonly leftoverMs: number;
  /** Nor does a process that has gone have more output under way than this. */
  readonly leftoverBytes: number;
  /** Time for a guest that no longer has the process to tell how it ended all the same. */
  readonly lostMs: number;
  /** The same where others hold the output, which is closed by then: only one of them that writes sets the guest free. */
  readonly closedMs: number;
}

export const defaultDrainLimits: DrainLimits = {
  lookMs: 50,
  quietMs: 250,
  stalledMs: 10_000,
  leftoverMs: 1_000,
  leftoverBytes: 4 * 1024 * 1024,
  lostMs: 5_000,
  closedMs: 1_500,
};

/** "stalled" is the client's doing, "quiet" the guest's. */
export type Drained = "drained" | "stalled" | "quiet";

/** Waits until the relays have ended, or until nothing has moved for as long as the limits allow. */
export async function drain(
  relays: Promise<unknown>,
  progress: RelayProgress,
  limits: DrainLimits,
  clock: ProcessClock,
): Promise<Drained> {
  let stillForMs = 0;
  return await untilDrained(relays, progress, limits, clock, (before) => {
    stillForMs = progress.steps === before.steps ? stillForMs + limits.lookMs : 0;
    if (progress.pending > 0) return stillForMs >= limits.stalledMs ? "stalled" : undefined;
    return stillForMs >= limits.quietMs ? "quiet" : undefined;
  });
}

/**
 * As `drain`, for a process that has gone while its output is still open: others that hold it may write for ever, and
 * what they write is not waited for.
 */
export async function drainLeftover(
  relays: Promise<unknown>,
  progress: RelayProgress,
  limits: DrainLimits,
  clock: ProcessClock,
): Promise<Drained> {
  const givenAtFirst = progress.given;
  let stillForMs = 0;
  let keptUpForMs = 0;
  return await untilDrained(relays, progress, limits, clock, (before) => {
    stillForMs = progress.steps === before.steps ? stillForMs + limits.lookMs : 0;
    if (progress.taken >= before.given) keptUpForMs += limits.lookMs;
    else if (stillForMs >= limits.stalledMs) return "stalled";
    const isOfOthers = keptUpForMs >= limits.leftoverMs || progress.given - givenAtFirst > limits.leftoverBytes;
    return isOfOthers ? "quiet" : undefined;
  });
}

async function untilDrained(
  relays: Promise<unknown>,
  progress: RelayProgress,
  { lookMs }: DrainLimits,
  clock: ProcessClock,
  look: (before: { readonly steps: number; readonly given: number }) => Drained | undefined,
): Promise<Drained> {
  const drained = relays.then(() => "drained" as const);
  for (;;) {
    const { steps, given } = progress;
    const timer = new AbortController();
    const waited = clock.delay(lookMs, timer.signal).then(() => "waited" as const);
    waited.catch(() => {});
    const first = await Promise.race([drained, waited]);
    timer.abort();
    if (first === "drained") return "drained";
    const verdict = look({ steps, given });
    if (verdict !== undefined) return verdict;
  }
}
