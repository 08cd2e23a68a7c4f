interface Waiter {
  readonly resolve: (value: unknown) => void;
  readonly reject: (reason: unknown) => void;
}

/**
 * Who waits for a promise. It keeps each of its reactions until it settles, which may be never; so all who wait share
 * one, and those who give up leave nothing.
 */
const waiting = new WeakMap<Promise<unknown>, Set<Waiter>>();

/**
 * Settles as the promise does, or rejects with the signal's reason as soon as it aborts. The promise goes on, and its
 * result is then dropped: what it would acquire is lost. `acquireOrRelease` prevents that.
 */
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
  const settleAll = (settle: (waiter: Waiter) => void): void => {
    waiting.delete(promise);
    for (const waiter of waiters) settle(waiter);
  };
  promise.then(
    (value) => settleAll(({ resolve }) => resolve(value)),
    (reason: unknown) => settleAll(({ reject }) => reject(reason)),
  );
  return waiters;
}

/**
 * Waits for something to be acquired, but rejects as soon as the signal aborts, with its reason, whether or not the
 * acquisition observes the signal. What arrives after that is released at once, exactly once. No caller is left then to
 * see that a release failed, so `release` reports that itself where it matters.
 */
export function acquireOrRelease<T>(
  promise: Promise<T>,
  signal: AbortSignal,
  release: (late: T) => Promise<void>,
): Promise<T> {
  return new Promise((resolve, reject) => {
    let hasLeft = false;
    const leave = (): void => {
      hasLeft = true;
      reject(signal.reason);
    };
    if (signal.aborted) leave();
    else signal.addEventListener("abort", leave, { once: true });
    promise
      .then(
        async (value) => {
          signal.removeEventListener("abort", leave);
          if (hasLeft) await release(value);
          else resolve(value);
        },
        (error: unknown) => {
          signal.removeEventListener("abort", leave);
          reject(error);
        },
      )
      .catch(() => {});
  });
}
