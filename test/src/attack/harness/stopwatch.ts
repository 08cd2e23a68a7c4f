import { readFileSync } from "node:fs";

const nanoseconds = 1_000_000;

/**
 * Measures how long something took of which a machine without a processor to spare is not the cause: the time in which
 * one of the processes that take part was ready to run and had to wait for a processor is left out.
 */
export class Stopwatch {
  readonly #pids: readonly (number | "self")[];
  readonly #started = performance.now();
  readonly #delayedBefore: number;

  /** @param pids those that work one after the other for what is measured, beside this process. */
  constructor(pids: readonly number[]) {
    this.#pids = ["self", ...pids];
    this.#delayedBefore = this.#delayed();
  }

  /** Milliseconds. */
  get elapsed(): number {
    const elapsed = performance.now() - this.#started;
    return Math.max(0, elapsed - (this.#delayed() - this.#delayedBefore));
  }

  #delayed(): number {
    return this.#pids.reduce<number>((sum, pid) => sum + runDelayOf(pid), 0);
  }
}

/** How long a process's first thread has waited for a processor, in milliseconds; 0 for one that has ended. */
export function runDelayOf(pid: number | "self"): number {
  try {
    return Number(readFileSync(`/proc/${pid}/schedstat`, "utf8").split(" ")[1]) / nanoseconds;
  } catch {
    return 0;
  }
}
