import { setImmediate, setTimeout } from "node:timers/promises";

/** Time as the shim sees it; tests put their own in its place. */
export interface Clock {
  now(): Date;
  /** Resolves after so many milliseconds, or rejects with the signal's reason. */
  delay(milliseconds: number, signal?: AbortSignal): Promise<void>;
}

/** What a clock waits with. */
export interface ClockParts {
  /** As `setTimeout` of node:timers/promises: rejects when the signal aborts, with whatever error. */
  readonly sleep: (milliseconds: number, signal: AbortSignal | undefined) => Promise<unknown>;
  /** Resolves when what has arrived from outside, while this process slept, has been handled. */
  readonly turn: () => Promise<unknown>;
}

/** How many steps a wait has at most, and what one takes at least: each wakes the process. */
const mostSteps = 8;
const shortestStep = 25;
/** What a timer holds; one of more fires at once. */
const longestStep = 2 ** 31 - 1;

/**
 * A clock whose waits are bounds for others, not for this process: one that gets no processor for a while, or is
 * stopped, could not have noticed an answer in that time. So a wait is made of steps, and a step that ends late counts
 * as one that ends in time; and what has arrived meanwhile is handled before the wait is over, where timers alone come
 * first.
 */
export function createClock({ sleep, turn }: ClockParts): Clock {
  return {
    now: () => new Date(),
    delay: async (milliseconds, signal) => {
      const steps = Math.min(mostSteps, Math.max(1, Math.floor(milliseconds / shortestStep)));
      try {
        for (let step = 0; step < steps; step++) {
          await sleep(Math.min(milliseconds / steps, longestStep), signal);
          await turn();
        }
        signal?.throwIfAborted();
      } catch (error) {
        throw signal?.aborted ? signal.reason : error;
      }
    },
  };
}

export const systemClock: Clock = createClock({
  sleep: (milliseconds, signal) => setTimeout(milliseconds, undefined, signal === undefined ? {} : { signal }),
  turn: () => setImmediate(),
});

/** Whether the promise settled within the time; it goes on either way, and its failure is not reported here. */
export async function settlesWithin(promise: Promise<unknown>, milliseconds: number, clock: Clock): Promise<boolean> {
  const stop = new AbortController();
  const settled = promise.then(
    () => true,
    () => true,
  );
  const expired = clock.delay(milliseconds, stop.signal).then(
    () => false,
    () => false,
  );
  try {
    return await Promise.race([settled, expired]);
  } finally {
    stop.abort();
  }
}
