/**
 * Runs the operations of one controller one after the other. A waiting operation leaves the queue when its signal
 * aborts; a running one is told through the same signal and keeps its place until it settles.
 */
export class OperationQueue {
  #tail: Promise<void> = Promise.resolve();

  run<T>(operation: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    const before = this.#tail;
    let release = (): void => {};
    this.#tail = new Promise((resolve) => {
      release = resolve;
    });
    return (async () => {
      try {
        await abortable(before, signal);
      } catch (error) {
        // The place in the queue is kept until the turn comes, so that what follows still waits for what precedes.
        void before.then(release);
        throw error;
      }
      try {
        return await operation();
      } finally {
        release();
      }
    })();
  }
}

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
