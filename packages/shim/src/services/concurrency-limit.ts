import type { Clock } from "@uvm-shim/lifecycle";

/** How much work is done at once. */
export interface ConcurrencyLimitOptions {
  readonly most: number;
  /** After this time, in milliseconds, work no longer counts: work that hangs must not block the rest. */
  readonly longest: number;
  readonly clock: Clock;
}

/**
 * Runs a bounded number of jobs at once, the rest in the order of their arrival. If all ran at once, all would end at the
 * same late time, and none could be distinguished from one that hangs.
 */
export class ConcurrencyLimit {
  readonly #options: ConcurrencyLimitOptions;
  readonly #waiting: (() => void)[] = [];
  #running = 0;

  constructor(options: ConcurrencyLimitOptions) {
    this.#options = options;
  }

  async run<T>(work: () => Promise<T>): Promise<T> {
    const { most, longest, clock } = this.#options;
    if (this.#running < most) this.#running++;
    else await new Promise<void>((resolve) => void this.#waiting.push(resolve));
    const finished = new AbortController();
    let isOver = false;
    const end = (): void => {
      if (isOver) return;
      isOver = true;
      const next = this.#waiting.shift();
      if (next === undefined) this.#running--;
      else next();
    };
    clock.delay(longest, finished.signal).then(end, () => {});
    try {
      return await work();
    } finally {
      finished.abort();
      end();
    }
  }
}
