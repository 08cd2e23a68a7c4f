import type { Clock } from "@uvm-shim/lifecycle";
import type { Log, LogLevel } from "../platform.ts";
import { formatLine } from "./log.ts";

/** Limits in bytes of log lines. */
export interface LogAllowance {
  /** The most at once: enough for the start of a guest or a container. */
  readonly burst: number;
  readonly perSecond: number;
  /** Milliseconds without lines once the allowance is used up, so that lines come in readable pieces. */
  readonly pause: number;
}

/** Less than one megabyte per minute. */
export const guestAllowance: LogAllowance = { burst: 384 * 1024, perSecond: 8 * 1024, pause: 10_000 };

/** Enough for a warning about each mistake in an ordinary specification. */
export const requestAllowance: LogAllowance = { burst: 64 * 1024, perSecond: 1024, pause: 10_000 };

/** The most that a log adds to each line: namespace and id. */
const ownFieldBytes = 192;

/** What a rate-limited log is made from. */
export interface LimitedLogOptions {
  readonly log: Log & { isLogged(level: LogLevel): boolean };
  readonly clock: Clock;
  /** Completes "log lines dropped: too many …". */
  readonly subject: string;
  readonly allowance?: LogAllowance;
}

/**
 * A rate-limited log for lines whose number others decide, such as a guest; counts the lines that it drops. Lines below
 * the log's level use up no allowance.
 */
export class LimitedLog implements Log {
  readonly #options: LimitedLogOptions;
  readonly #allowance: LogAllowance;
  #allowed: number;
  #earnedUpTo: number;
  #dropped = 0;
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
      this.#dropped += 1;
      return;
    }
    this.#earn();
    const needed = formatLine(clock.now(), level, message, fields).length + ownFieldBytes;
    if (needed > this.#allowed) {
      this.#dropped += 1;
      void this.#pause();
      return;
    }
    this.#allowed -= needed;
    log.log(level, message, fields);
  }

  #earn(): void {
    const now = this.#options.clock.now().getTime();
    // The system clock may be set back.
    const seconds = Math.max(0, now - this.#earnedUpTo) / 1000;
    this.#earnedUpTo = now;
    this.#allowed = Math.min(this.#allowance.burst, this.#allowed + seconds * this.#allowance.perSecond);
  }

  async #pause(): Promise<void> {
    const { log, clock, subject } = this.#options;
    this.#isPaused = true;
    await clock.delay(this.#allowance.pause);
    this.#isPaused = false;
    const count = this.#dropped;
    this.#dropped = 0;
    log.log("warn", `${count} log ${count === 1 ? "line" : "lines"} dropped: too many ${subject}`);
  }
}
