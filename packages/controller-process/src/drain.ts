import type { Clock } from "@uvm-shim/lifecycle";
import type { RelayProgress } from "./relay.ts";

/**
 * What bounds the way of the output to the client once the process has ended. Nobody can hold up an exit by it: a guest
 * or a child that writes on and on no more than one that is silent, nor a client that is slow or takes nothing.
 */
export interface DrainLimits {
  /** Between two looks at the output; a program that was held up looks often enough before it gives up. */
  readonly lookMs: number;
  /**
   * The guest has told the exit, and nothing comes from it though a stream stays open. Short: a guest tells the exit
   * once the output has ended, so that only its last bytes can still be on the way.
   */
  readonly quietMs: number;
  /** The client does not take what it is offered. */
  readonly stalledMs: number;
  /**
   * The guest has told the exit: as long as this, all of it together, the client is waited with that has taken all there
   * was. What comes after that is of others, who hold the process's output.
   */
  readonly toldMs: number;
  /** The same where the process has gone and its exit is not told, which is because others hold the output. */
  readonly leftoverMs: number;
  /** Nor does a process that has ended have more output under way than this. */
  readonly leftoverBytes: number;
  /** All of it together, whoever makes progress: this long an exit is held back for its output, and no longer. */
  readonly longestMs: number;
  /** Time for a guest that no longer has the process to tell how it ended all the same. */
  readonly lostMs: number;
  /** The same where others hold the output, which is closed by then: only one of them that writes sets the guest free. */
  readonly closedMs: number;
  /** For an exec that the guest says it has killed to end. One that does not counts as gone. */
  readonly killedMs: number;
}

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

/** "stalled" is the client's doing; "over" says that what may still come is not the process's. */
export type Drained = "drained" | "stalled" | "over";

/** The drain of one process's output. Its bounds go on from one wait to the next. */
export class Drain {
  readonly #progress: RelayProgress;
  readonly #limits: DrainLimits;
  readonly #clock: Clock;
  readonly #givenAtFirst: number;
  #lookedForMs = 0;
  #keptUpForMs = 0;

  /** To be made when the process has ended: what is given from then on counts. */
  constructor(progress: RelayProgress, limits: DrainLimits, clock: Clock) {
    this.#progress = progress;
    this.#limits = limits;
    this.#clock = clock;
    this.#givenAtFirst = progress.given;
  }

  /** After an exit that was told: until the relays have ended, or nothing more of the process can come. */
  afterExit(relays: Promise<unknown>): Promise<Drained> {
    const { quietMs, stalledMs, toldMs } = this.#limits;
    return this.#until(relays, toldMs, (stillForMs) => {
      if (this.#progress.pending > 0) return stillForMs >= stalledMs ? "stalled" : undefined;
      return stillForMs >= quietMs ? "over" : undefined;
    });
  }

  /** The same for a process that has gone, or must have, and whose output is still open. */
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
