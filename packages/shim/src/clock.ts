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

interface Waiter {
  readonly resolve: (value: unknown) => void;
  readonly reject: (reason: unknown) => void;
}

/**
 * Who waits for a promise. It keeps each of its reactions until it settles, which may be never; so all who wait share
 * one, and those who give up leave nothing.
 */
const waiting = new WeakMap<Promise<unknown>, Set<Waiter>>();

/** Settles as the promise does, or rejects with the signal's reason as soon as it aborts. The promise goes on. */
export function abortable<T>(promise: Promise<T>, signal?: AbortSignal): Promise<T> {
  if (signal === undefined) return promise;
  return new Promise<unknown>((resolve, reject) => {
    const waiters = waitersOf(promise);
    if (signal.aborted) {
      reject(signal.reason);
      return;
    }
    const onAbort = (): void => {
      waiters.delete(waiter);
      reject(signal.reason);
    };
    const waiter: Waiter = {
      resolve: (value) => {
        signal.removeEventListener("abort", onAbort);
        resolve(value);
      },
      reject: (reason) => {
        signal.removeEventListener("abort", onAbort);
        reject(reason);
      },
    };
    waiters.add(waiter);
    signal.addEventListener("abort", onAbort, { once: true });
  }) as Promise<T>;
}

function waitersOf(promise: Promise<unknown>): Set<Waiter> {
  const known = waiting.get(promise);
  if (known !== undefined) return known;
  const waiters = new Set<Waiter>();
  waiting.set(promise, waiters);
  const tell = (settle: (waiter: Waiter) => void): void => {
    waiting.delete(promise);
    for (const waiter of waiters) settle(waiter);
  };
  promise.then(
    (value) => tell(({ resolve }) => resolve(value)),
    (reason: unknown) => tell(({ reject }) => reject(reason)),
  );
  return waiters;
}

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
