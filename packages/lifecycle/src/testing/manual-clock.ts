import type { Clock } from "../waiting/clock.ts";

interface Sleeper {
  readonly at: number;
  readonly wake: () => void;
}

/** A clock that the test advances. */
export class ManualClock implements Clock {
  #now: number;
  #sleepers: readonly Sleeper[] = [];

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
      if (signal?.aborted) return reject(signal.reason);
      const sleeper = { at: this.#now + milliseconds, wake: resolve };
      this.#sleepers = [...this.#sleepers, sleeper];
      signal?.addEventListener("abort", () => {
        this.#sleepers = this.#sleepers.filter((other) => other !== sleeper);
        reject(signal.reason);
      });
    });
  }

  /** Advances in steps, one for each delay that ends, including delays that begin meanwhile. */
  async advance(milliseconds: number): Promise<void> {
    const end = this.#now + milliseconds;
    for (;;) {
      const next = Math.min(end, ...this.#sleepers.map(({ at }) => at));
      const hasWoken = this.#moveTo(Math.max(this.#now, next));
      await new Promise((resolve) => void setImmediate(resolve));
      if (!hasWoken) return;
    }
  }

  /** Advances in one step: every delay that ends sees the whole time passed. */
  jump(milliseconds: number): void {
    this.#moveTo(this.#now + milliseconds);
  }

  /** Advances to the end of the next delay. */
  jumpToNext(): void {
    const next = Math.min(...this.#sleepers.map(({ at }) => at));
    if (Number.isFinite(next)) this.#moveTo(next);
  }

  #moveTo(time: number): boolean {
    this.#now = time;
    const due = this.#sleepers.filter(({ at }) => at <= time);
    this.#sleepers = this.#sleepers.filter(({ at }) => at > time);
    for (const { wake } of due) wake();
    return due.length > 0;
  }
}
