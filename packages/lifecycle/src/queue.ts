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

/** Settles as the promise does, or rejects with the signal's reason as soon as it aborts. The promise goes on. */
export function abortable<T>(promise: Promise<T>, signal?: AbortSignal): Promise<T> {
  if (signal === undefined) return promise;
  if (signal.aborted) {
    promise.catch(() => {});
    return Promise.reject(signal.reason);
  }
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
  });
}
