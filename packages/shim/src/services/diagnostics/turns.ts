import type { Clock } from "@uvm-shim/lifecycle";
import { ShimError } from "../../errors.ts";
import { ConcurrencyLimit } from "../concurrency-limit.ts";

/** Calls whose answers may wait to be made; further ones are refused. */
const mostWaiting = 64;
/** Calls that may wait for guest or host at the same time. */
const mostAsking = 8;
const longestTurn = 5_000;

/** Keeps a flood of diagnostic calls from holding up those of containerd, and a guest from being flooded. */
export class Turns {
  readonly #limit: ConcurrencyLimit;
  #waiting = 0;
  #asking = 0;

  constructor(clock: Clock) {
    this.#limit = new ConcurrencyLimit({ most: 1, longest: longestTurn, clock });
  }

  /** Makes an answer from what the shim knows: one after the other, each in a turn of the event loop of its own. */
  async take<T>(operation: string, work: () => T): Promise<T> {
    if (this.#waiting >= mostWaiting) throw tooMany(operation, mostWaiting);
    this.#waiting += 1;
    try {
      return await this.#limit.run(async () => {
        await new Promise((resolve) => setImmediate(resolve));
        return work();
      });
    } finally {
      this.#waiting -= 1;
    }
  }

  /** Asks guest or host, which may take their time. */
  async ask<T>(operation: string, work: () => Promise<T>): Promise<T> {
    if (this.#asking >= mostAsking) throw tooMany(operation, mostAsking);
    this.#asking += 1;
    try {
      return await work();
    } finally {
      this.#asking -= 1;
    }
  }
}

/** Refuses a call beyond a bound. */
export function tooMany(operation: string, most: number): ShimError {
  return new ShimError("ResourceExhausted", `${operation}: ${most} such calls are waiting already, repeat it later`);
}
