import type { Subject } from "../compute/call-results.ts";
import { type Ending, endingError } from "./close-reason.ts";

/** The calls that use one handle, which may not be closed before all of them have returned. */
export class Calls {
  readonly #running = new Set<Promise<void>>();
  #ended: Ending | undefined;

  /** Rejects where no more calls may come. */
  call<Value>(subject: Subject, work: () => Promise<Value>): Promise<Value> {
    return this.#ended === undefined ? this.track(work()) : Promise.reject(endingError(subject, this.#ended));
  }

  /** Work that is waited for also where no more may come. */
  track<Value>(running: Promise<Value>): Promise<Value> {
    const over = (): void => {
      this.#running.delete(settled);
    };
    const settled = running.then(over, over);
    this.#running.add(settled);
    return running;
  }

  /** Refuses further calls for this reason, and resolves when those that run have returned. */
  async end(ending: Ending): Promise<void> {
    this.#ended ??= ending;
    while (this.#running.size > 0) await Promise.all(this.#running);
  }
}
