import type { Clock } from "../clock.ts";

/** A clock that only moves when a test advances it. */
export class ManualClock implements Clock {
  #now: number;
  readonly #sleepers: { readonly at: number; readonly wake: () => void }[] = [];

  constructor(start = "2026-05-06T07:08:09.000Z") {
    this.#now = new Date(start).getTime();
  }

  /** The number of pending delays. */
  get sleepers(): number {
    return this.#sleepers.length;
  }

  now(): Date {
    return new Date(this.#now);
  }

  delay(milliseconds: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) {
        reject(signal.reason);
        return;
      }
      const sleeper = { at: this.#now + milliseconds, wake: resolve };
      this.#sleepers.push(sleeper);
      signal?.addEventListener("abort", () => {
        this.#remove(sleeper);
        reject(signal.reason);
      });
    });
  }

  /** Advances step by step to each due delay, including delays that begin meanwhile. */
  async advance(milliseconds: number): Promise<void> {
    const end = this.#now + milliseconds;
    for (;;) {
      const next = Math.min(end, ...this.#sleepers.map(({ at }) => at));
      this.#now = Math.max(this.#now, next);
      const due = this.#sleepers.filter(({ at }) => at <= this.#now);
      for (const sleeper of due) {
        this.#remove(sleeper);
        sleeper.wake();
      }
      await new Promise(setImmediate);
      if (due.length === 0) return;
    }
  }

  #remove(sleeper: { readonly at: number; readonly wake: () => void }): void {
    const index = this.#sleepers.indexOf(sleeper);
    if (index >= 0) this.#sleepers.splice(index, 1);
  }
}
