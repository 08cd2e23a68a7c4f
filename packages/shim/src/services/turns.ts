import type { Clock } from "@uvm-shim/lifecycle";

export interface TurnsOptions {
  /** How much is done at once. */
  readonly most: number;
  /** How long a turn lasts at most, in milliseconds: what hangs is not to hold others up. */
  readonly longest: number;
  readonly clock: Clock;
}

/**
 * Lets so much be done at once, and has the rest wait in the order in which it came. What is all done at once is all done
 * at the end, and nobody can tell it from what hangs.
 */
export class Turns {
  readonly #options: TurnsOptions;
  readonly #waiting: (() => void)[] = [];
  #running = 0;

  constructor(options: TurnsOptions) {
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
