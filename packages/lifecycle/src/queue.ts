import { abortable } from "./waiting/abortable.ts";

/**
 * Runs the operations of one controller one after the other. A waiting operation leaves the queue when its signal
 * aborts; a running one gets the same signal and keeps its place until it settles.
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
