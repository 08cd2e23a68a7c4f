import type { Subject } from "../compute/call-results.ts";
import { type CloseReason, closedError } from "./close-reason.ts";

/** Pending calls on one handle, which must not be closed before all of them have returned. */
export class PendingCalls {
  readonly #running = new Set<Promise<void>>();
  #ended: CloseReason | undefined;

  /** Rejects after `end`. */
  call<Value>(subject: Subject, work: () => Promise<Value>): Promise<Value> {
    return this.#ended === undefined ? this.track(work()) : Promise.reject(closedError(subject, this.#ended));
  }

  /** Adds running work, also after `end`. */
  track<Value>(running: Promise<Value>): Promise<Value> {
    const over = (): void => {
      this.#running.delete(settled);
    };
    const settled = running.then(over, over);
    this.#running.add(settled);
    return running;
  }

  /** Rejects further calls with this reason; resolves when all pending calls have returned. */
  async end(reason: CloseReason): Promise<void> {
    this.#ended ??= reason;
    while (this.#running.size > 0) await Promise.all(this.#running);
  }
}
