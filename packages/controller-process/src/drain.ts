import type { Clock } from "@uvm-shim/lifecycle";
import type { RelayProgress } from "./relay.ts";

/**
 * Bounds for draining the output to the client once the process has ended, so that nobody can delay the exit without
 * limit: neither a guest or child that keeps writing or stays silent, nor a client that reads slowly or not at all.
 */
export interface DrainLimits {
  /** Interval between two checks of the output; short, so that a delayed shim still checks often before it gives up. */
  readonly lookMs: number;
  /**
   * After a reported exit: no output arrives although a stream is still open. Short: a guest reports the exit after the
   * output has ended, so only its last bytes can still be on the way.
   */
  readonly quietMs: number;
  /** The client does not read what is written to it. */
  readonly stalledMs: number;
  /**
   * After a reported exit: the total time to wait while the client has read everything. Later output comes from other
   * processes that hold the streams open.
   */
  readonly toldMs: number;
  /** The same for a process that is gone without a reported exit, which happens when others hold its streams open. */
  readonly leftoverMs: number;
  /** The most output that an ended process can still have under way. */
  readonly leftoverBytes: number;
  /** The longest that an exit is delayed for its output, whatever progress is made. */
  readonly longestMs: number;
  /** Time for a guest that no longer has the process to report its exit. */
  readonly lostMs: number;
  /** The same after its output was closed because others held it: the guest goes on when one of them writes. */
  readonly closedMs: number;
  /** Time for an exec that the guest has killed to end; after that it counts as gone. */
  readonly killedMs: number;
}

/** The limits of Linux processes; README.md says what each is for. */
export const defaultDrainLimits: DrainLimits = {
  lookMs: 50,
  quietMs: 250,
  stalledMs: 10_000,
  toldMs: 5_000,
  leftoverMs: 1_000,
  leftoverBytes: 16 * 1024 * 1024,
  longestMs: 30_000,
  lostMs: 5_000,
  closedMs: 1_500,
  killedMs: 10_000,
};

/** "stalled": the client does not read. "over": further output would not be the process's. */
export type Drained = "drained" | "stalled" | "over";

/** Drains one process's output. Time spent in one wait counts in the next. */
export class Drain {
  readonly #progress: RelayProgress;
  readonly #limits: DrainLimits;
  readonly #clock: Clock;
  readonly #givenAtFirst: number;
  #lookedForMs = 0;
  #keptUpForMs = 0;

  /** Construct it when the process has ended: output is counted from then on. */
  constructor(progress: RelayProgress, limits: DrainLimits, clock: Clock) {
    this.#progress = progress;
    this.#limits = limits;
    this.#clock = clock;
    this.#givenAtFirst = progress.given;
  }

  /** After a reported exit: until the relays have ended, or no more output of the process can arrive. */
  afterExit(relays: Promise<unknown>): Promise<Drained> {
    const { quietMs, stalledMs, toldMs } = this.#limits;
    return this.#until(relays, toldMs, (stillForMs) => {
      if (this.#progress.pending > 0) return stillForMs >= stalledMs ? "stalled" : undefined;
      return stillForMs >= quietMs ? "over" : undefined;
    });
  }

  /** The same for a process that is gone, or counts as gone, and whose output is still open. */
  afterLoss(relays: Promise<unknown>): Promise<Drained> {
    const { stalledMs, leftoverMs } = this.#limits;
    return this.#until(relays, leftoverMs, (stillForMs, hasKeptUp) =>
      !hasKeptUp && stillForMs >= stalledMs ? "stalled" : undefined,
    );
  }

  async #until(
    relays: Promise<unknown>,
    keptUpMs: number,
    look: (stillForMs: number, hasKeptUp: boolean) => Drained | undefined,
  ): Promise<Drained> {
    const drained = relays.then(() => "drained" as const);
    const { lookMs, leftoverBytes, longestMs } = this.#limits;
    const progress = this.#progress;
    for (let stillForMs = 0; ; ) {
      const { steps, given } = progress;
      const timer = new AbortController();
      const waited = this.#clock.delay(lookMs, timer.signal).then(() => "waited" as const);
      waited.catch(() => {});
      const first = await Promise.race([drained, waited]);
      timer.abort();
      if (first === "drained") return "drained";
      stillForMs = progress.steps === steps ? stillForMs + lookMs : 0;
      const hasKeptUp = progress.taken >= given;
      if (hasKeptUp) this.#keptUpForMs += lookMs;
      this.#lookedForMs += lookMs;
      const verdict = look(stillForMs, hasKeptUp);
      if (verdict !== undefined) return verdict;
      const isOfOthers = this.#keptUpForMs >= keptUpMs || progress.given - this.#givenAtFirst > leftoverBytes;
      if (isOfOthers || this.#lookedForMs >= longestMs) return "over";
    }
  }
}
