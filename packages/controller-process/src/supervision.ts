import type { Readable, Writable } from "node:stream";
import { type Clock, settlesWithin } from "@uvm-shim/lifecycle";
import { Drain, type DrainLimits } from "./drain.ts";
import { Presence, type PresencePace } from "./presence.ts";
import { type ClientPatience, copyInput, copyOutput, type OutputRelay, RelayProgress } from "./relay.ts";
import { exitStatusOf, killedStatus, lostStatus, sigkill } from "./status.ts";
import type { GuestProcess, OpenStdio, ProcessExit } from "./types.ts";

/** After a request to close stdin: what the client wrote before is in its pipe already, and is read within this. */
const stdinClosingQuietMs = 250;

/** Why an exit has no code: the process has gone without, or its guest, which says that it killed it, tells no end. */
export type ExitUntold = "gone" | "kill without effect";

export interface SupervisionOptions {
  readonly upstream: OpenStdio;
  readonly guest: GuestProcess;
  readonly clock: Clock;
  readonly limits: DrainLimits;
  readonly pace: PresencePace;
  readonly clientPatience: ClientPatience | undefined;
  readonly isInit: boolean;
  /** Resolves when the client has asked to close stdin. */
  readonly stdinClosing: Promise<void>;
  /** Resolves when the guest, or all of the VM, no longer knows the process though it told no exit code. */
  readonly lost: Promise<void>;
  /** The guest has not told how the process ended. */
  readonly onUntold: (why: ExitUntold) => void;
}

/** A process that runs, up to its exit: its stdio is relayed, its end noticed, and its output drained. */
export class Supervision {
  readonly #options: SupervisionOptions;
  readonly #progress = new RelayProgress();
  readonly #outputs: readonly OutputRelay[];
  readonly #presence: Presence;
  readonly #killUnheeded = Promise.withResolvers<void>();
  readonly #over = new AbortController();
  #wasKilled = false;
  #hasEnded = false;

  constructor(options: SupervisionOptions) {
    this.#options = options;
    const { guest, upstream, clock, pace, isInit, clientPatience } = options;
    const copy = (source: Readable | undefined, sink: Writable | undefined): readonly OutputRelay[] =>
      source === undefined || sink === undefined ? [] : [copyOutput(source, sink, this.#progress, clientPatience)];
    this.#outputs = [...copy(guest.stdout, upstream.stdout), ...copy(guest.stderr, upstream.stderr)];
    this.#presence = new Presence({ guest, progress: this.#progress, clock, pace, isInit });
    void options.stdinClosing.then(() => upstream.closeStdin());
    if (guest.stdin && upstream.stdin) {
      void copyInput(upstream.stdin, guest.stdin, {
        clock,
        closing: options.stdinClosing,
        closingQuietMs: stdinClosingQuietMs,
      });
    }
  }

  /** Whether the process has ended, as far as its guest is concerned; its output may still be on the way. */
  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  /** To be told of each signal that the guest has taken. */
  signalled(signalNumber: number): void {
    if (signalNumber === sigkill) this.#expectKilled();
    this.#presence.expectEnd();
  }

  /** Resolves when the process has ended, its output is drained, and all ends are closed. Never rejects. */
  async exit(): Promise<ProcessExit> {
    const { guest, upstream, clock, limits } = this.#options;
    const told = guest.wait().then(exitStatusOf, () => lostStatus);
    const how = await this.#end(told);
    this.#hasEnded = true;
    this.#over.abort();
    const exitedAt = clock.now();
    const drain = new Drain(this.#progress, limits, clock);
    const status = how === "told" ? await told : await this.#statusOfGone(told, how, drain);
    if ((await drain.afterExit(this.#ended)) === "over") {
      // What others write is not read any more; the client still gets what was read before.
      await closeQuietly(guest);
      await drain.afterExit(this.#ended);
    }
    await closeClient(upstream, clock, limits);
    await closeQuietly(guest);
    return { status, exitedAt };
  }

  get #ended(): Promise<unknown> {
    return Promise.all(this.#outputs.map(({ ended }) => ended));
  }

  /** A guest that has killed a process and tells no end of it, nor lists it no more, is not believed for ever. */
  #expectKilled(): void {
    const { clock, limits, isInit } = this.#options;
    if (this.#wasKilled) return;
    this.#wasKilled = true;
    // An init that does not end keeps all that its container holds: nothing but the end of the VM gives that back.
    if (!isInit) clock.delay(limits.killedMs, this.#over.signal).then(this.#killUnheeded.resolve, () => {});
  }

  async #end(told: Promise<number>): Promise<"told" | ExitUntold> {
    const ends: Promise<"told" | ExitUntold>[] = [
      told.then(() => "told"),
      this.#options.lost.then(() => "gone"),
      this.#killUnheeded.promise.then(() => "kill without effect"),
    ];
    const watching = new AbortController();
    // Nothing but output holds an exit back.
    if (this.#outputs.length > 0) ends.push(this.#presence.gone(watching.signal).then(() => "gone"));
    const first = await Promise.race(ends);
    watching.abort();
    return first;
  }

  /**
   * How a process ended that has gone without an exit. The guest may wait for its output to be read and closed, so
   * both are done first, for a client that does not take it too; then it has some time to speak.
   */
  async #statusOfGone(told: Promise<number>, why: ExitUntold, drain: Drain): Promise<number> {
    const { guest, clock, limits, onUntold } = this.#options;
    const settled = Promise.race([told, this.#ended]);
    let drained = await drain.afterLoss(settled);
    if (drained === "stalled") {
      for (const output of this.#outputs) output.dropClient();
      drained = await drain.afterLoss(settled);
    }
    const isHeld = drained !== "drained";
    if (isHeld) await closeQuietly(guest);
    const timer = new AbortController();
    const late = clock.delay(isHeld ? limits.closedMs : limits.lostMs, timer.signal).then(() => undefined);
    late.catch(() => {});
    const status = await Promise.race([told, late]);
    timer.abort();
    if (status !== undefined) return status;
    onUntold(why);
    return this.#wasKilled ? killedStatus(sigkill) : lostStatus;
  }
}

/**
 * Closes the client's ends. A client can no more hold up the end of a process by an end that does not close than by
 * output that it does not take.
 */
export async function closeClient(upstream: OpenStdio, clock: Clock, { stalledMs }: DrainLimits): Promise<void> {
  await settlesWithin(closeQuietly(upstream), stalledMs, clock);
}

/** Nobody is left to be told that an end which is given up could not be closed. */
async function closeQuietly(end: { close(): Promise<void> }): Promise<void> {
  try {
    await end.close();
  } catch {}
}
