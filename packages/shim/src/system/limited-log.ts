import type { Clock } from "@uvm-shim/lifecycle";
import type { Log } from "../platform.ts";
import { formatLine, type LogLevel } from "./log.ts";

/** How much may be written, in bytes of lines. */
export interface LogAllowance {
  /** At once, by somebody who has been quiet: enough for what a guest has to say about its start, or a container's. */
  readonly burst: number;
  /** Earned in a second. */
  readonly perSecond: number;
  /** Milliseconds for which nothing is written once the allowance is used up, so that lines come in readable pieces. */
  readonly pause: number;
}

/** In all less than a megabyte a minute. */
export const guestAllowance: LogAllowance = { burst: 384 * 1024, perSecond: 8 * 1024, pause: 10_000 };

/** A warning for each mistake in an ordinary specification; whoever reads that many needs no more of them. */
export const requestAllowance: LogAllowance = { burst: 64 * 1024, perSecond: 1024, pause: 10_000 };

/** At most what a log adds to each line of its own: whose it is. */
const ownBytes = 192;

export interface LimitedLogOptions {
  readonly log: Log & { isLogged(level: LogLevel): boolean };
  readonly clock: Clock;
  /** Whose lines they are, for the line that says how many were left out. */
  readonly whose: string;
  readonly allowance?: LogAllowance;
}

/**
 * A log for lines that somebody else decides about, as a guest does: at a rate, and with a count of those that were left
 * out. What is below the log's level costs nothing.
 */
export class LimitedLog implements Log {
  readonly #options: LimitedLogOptions;
  readonly #allowance: LogAllowance;
  #allowed: number;
  #earnedUpTo: number;
  #leftOut = 0;
  #isPaused = false;

  constructor(options: LimitedLogOptions) {
    this.#options = options;
    this.#allowance = options.allowance ?? guestAllowance;
    this.#allowed = this.#allowance.burst;
    this.#earnedUpTo = options.clock.now().getTime();
  }

  log(level: LogLevel, message: string, fields: { readonly [key: string]: unknown } = {}): void {
    const { log, clock } = this.#options;
    if (!log.isLogged(level)) return;
    if (this.#isPaused) {
      this.#leftOut += 1;
      return;
    }
    this.#earn();
    const needed = formatLine(clock.now(), level, message, fields).length + ownBytes;
    if (needed > this.#allowed) {
      this.#leftOut += 1;
      void this.#pause();
      return;
    }
    this.#allowed -= needed;
    log.log(level, message, fields);
  }

  #earn(): void {
    const now = this.#options.clock.now().getTime();
    // A machine's time may be set back.
    const seconds = Math.max(0, now - this.#earnedUpTo) / 1000;
    this.#earnedUpTo = now;
    this.#allowed = Math.min(this.#allowance.burst, this.#allowed + seconds * this.#allowance.perSecond);
  }

  async #pause(): Promise<void> {
    const { log, clock, whose } = this.#options;
    this.#isPaused = true;
    await clock.delay(this.#allowance.pause);
    this.#isPaused = false;
    const count = this.#leftOut;
    this.#leftOut = 0;
    log.log("warn", `${count} ${count === 1 ? "line was" : "lines were"} left out: too many ${whose}`);
  }
}
