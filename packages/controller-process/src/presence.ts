import type { Clock } from "@uvm-shim/lifecycle";
import type { RelayProgress } from "./relay.ts";
import type { GuestProcess } from "./types.ts";

/** Between two questions whether the guest still has a process: the pause doubles from the first to the longest. */
export interface PresencePace {
  readonly firstMs: number;
  readonly longestMs: number;
}

export const defaultPresencePace: PresencePace = { firstMs: 1_000, longestMs: 30_000 };

export interface PresenceOptions {
  readonly guest: Pick<GuestProcess, "exists">;
  readonly progress: RelayProgress;
  readonly clock: Clock;
  readonly pace: PresencePace;
  /**
   * A guest ends what an init leaves behind, so only a client that takes nothing can keep its output, and with it its
   * exit, in the guest.
   */
  readonly isInit: boolean;
}

/**
 * Notices that a process has gone though the guest is silent about its exit: a guest that ends a process's stdio first
 * is held up by a child which has its output open, and by a client that does not take the output.
 */
export class Presence {
  readonly #options: PresenceOptions;
  #pausing: AbortController | undefined;
  #isHurried = false;

  constructor(options: PresenceOptions) {
    this.#options = options;
  }

  /** The process has reason to end soon: asks again before long. */
  expectEnd(): void {
    this.#isHurried = true;
    this.#pausing?.abort();
  }

  /** Resolves when the guest says that it no longer has the process (true), or when the signal aborts (false). */
  async gone(signal: AbortSignal): Promise<boolean> {
    const { guest, progress, pace, isInit } = this.#options;
    let pause = pace.firstMs;
    while (!signal.aborted) {
      if (this.#isHurried) pause = pace.firstMs;
      this.#isHurried = false;
      const stepsBefore = progress.steps;
      await this.#pause(pause, signal);
      if (this.#isHurried) continue;
      pause = Math.min(2 * pause, pace.longestMs);
      const isStalled = progress.pending > 0 && progress.steps === stepsBefore;
      if (signal.aborted || (isInit && !isStalled)) continue;
      // A guest that cannot say is asked again: what it refuses once it may answer later.
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
