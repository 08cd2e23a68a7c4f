import type { Clock } from "@uvm-shim/lifecycle";
import type { RelayProgress } from "./relay.ts";
import type { GuestProcess } from "./types.ts";

/** Pauses between two checks whether the guest still has a process: each twice the one before, up to the longest. */
export interface PresencePace {
  readonly firstMs: number;
  readonly longestMs: number;
}

/** From 1 s after the start or a signal up to every 30 s: a guest that reports its exits is hardly bothered. */
export const defaultPresencePace: PresencePace = { firstMs: 1_000, longestMs: 30_000 };

/** What decides when a guest is asked whether it still lists a process. */
export interface PresenceOptions {
  readonly guest: Pick<GuestProcess, "exists">;
  readonly progress: RelayProgress;
  readonly clock: Clock;
  readonly pace: PresencePace;
  /**
   * Whether the guest ends the processes that this one leaves behind: then only a client that does not read can delay its
   * output, and with it its exit.
   */
  readonly endsOthers: boolean;
}

/**
 * Notices that a process is gone although the guest has not reported its exit. A guest that drains stdio before it
 * reports an exit is delayed by a child that holds the output open, and by a client that does not read it.
 */
export class Presence {
  readonly #options: PresenceOptions;
  #pausing: AbortController | undefined;
  #isHurried = false;

  constructor(options: PresenceOptions) {
    this.#options = options;
  }

  /** The process is likely to end soon: checks again before long. */
  expectEnd(): void {
    this.#isHurried = true;
    this.#pausing?.abort();
  }

  /** Resolves when the guest says that it no longer has the process (true), or when the signal aborts (false). */
  async gone(signal: AbortSignal): Promise<boolean> {
    const { guest, progress, pace, endsOthers } = this.#options;
    let pause = pace.firstMs;
    while (!signal.aborted) {
      if (this.#isHurried) pause = pace.firstMs;
      this.#isHurried = false;
      const stepsBefore = progress.steps;
      await this.#pause(pause, signal);
      if (this.#isHurried) continue;
      pause = Math.min(2 * pause, pace.longestMs);
      const isStalled = progress.pending > 0 && progress.steps === stepsBefore;
      if (signal.aborted || (endsOthers && !isStalled)) continue;
      // A failed check proves nothing: check again later.
      if (!(await guest.exists(signal).catch(() => true))) return true;
    }
    return false;
  }

  async #pause(milliseconds: number, signal: AbortSignal): Promise<void> {
    const pausing = new AbortController();
    this.#pausing = pausing;
    await this.#options.clock.delay(milliseconds, AbortSignal.any([signal, pausing.signal])).catch(() => {});
  }
}
