/** Time as a package sees it. Whoever waits for time to pass takes a clock, so that tests can put their own in its place. */
export interface Clock {
  now(): Date;
  /** Resolves after this time in milliseconds, or rejects with the signal's reason as soon as it aborts. */
  delay(milliseconds: number, signal?: AbortSignal): Promise<void>;
}

/** What a clock waits with. */
export interface ClockParts {
  /** Resolves after this time in milliseconds; rejects, with whatever error, when the signal aborts. */
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

/** The clock of the machine. */
export const systemClock: Clock = createClock({
  sleep: delay,
  turn: () => new Promise((resolve) => void setImmediate(resolve)),
});

/**
 * A pause between two looks at something, in milliseconds. It wakes the process once, where a clock's wait does so in
 * steps, and so is no bound for others. Rejects with the signal's reason as soon as it aborts.
 */
export function delay(milliseconds: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) {
      reject(signal.reason);
      return;
    }
    const onAbort = (): void => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", onAbort);
      resolve();
    }, milliseconds);
    signal?.addEventListener("abort", onAbort, { once: true });
  });
}
