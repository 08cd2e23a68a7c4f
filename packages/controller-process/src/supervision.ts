import type { Readable, Writable } from "node:stream";
import { type DrainLimits, drain, drainLeftover } from "./drain.ts";
import { Presence, type PresencePace } from "./presence.ts";
import { type ClientPatience, copyInput, copyOutput, type OutputRelay, RelayProgress } from "./relay.ts";
import { exitStatusOf, killedStatus, lostStatus, sigkill } from "./status.ts";
import type { GuestProcess, OpenStdio, ProcessClock, ProcessExit } from "./types.ts";

/** After a request to close stdin: what the client wrote before is in its pipe already, and is read within this. */
const stdinClosingQuietMs = 250;

export interface SupervisionOptions {
  readonly upstream: OpenStdio;
  readonly guest: GuestProcess;
  readonly clock: ProcessClock;
  readonly limits: DrainLimits;
  readonly pace: PresencePace;
  readonly clientPatience: ClientPatience | undefined;
  readonly isInit: boolean;
  /** Resolves when the client has asked to close stdin. */
  readonly stdinClosing: Promise<void>;
  /** Resolves when the guest, or all of the VM, no longer knows the process though it told no exit code. */
  readonly lost: Promise<void>;
  /** The process has gone, and the guest has not told how it ended. */
  readonly onUntold: () => void;
}

/** A process that runs, up to its exit: its stdio is relayed, its end noticed, and its output drained. */
export class Supervision {
  readonly #options: SupervisionOptions;
  readonly #progress = new RelayProgress();
  readonly #outputs: readonly OutputRelay[];
  readonly #presence: Presence;
  #wasKilled = false;

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

  /** To be told of each signal that the guest has taken. */
  signalled(signalNumber: number): void {
    if (signalNumber === sigkill) this.#wasKilled = true;
    this.#presence.expectEnd();
  }

  /** Resolves when the process has ended, its output is drained, and all ends are closed. Never rejects. */
  async exit(): Promise<ProcessExit> {
    const { guest, upstream, clock, limits } = this.#options;
    const told = guest.wait().then(exitStatusOf, () => lostStatus);
    const isTold = await this.#isToldOrGone(told);
    const exitedAt = clock.now();
    const status = isTold ? await told : await this.#statusOfGone(told);
    await drain(this.#ended, this.#progress, limits, clock);
    await closeClient(upstream, clock, limits);
    await closeQuietly(guest);
    return { status, exitedAt };
  }

  get #ended(): Promise<unknown> {
    return Promise.all(this.#outputs.map(({ ended }) => ended));
  }

  async #isToldOrGone(told: Promise<number>): Promise<boolean> {
    const watching = new AbortController();
    const isTold = told.then(() => true);
    const lost = this.#options.lost.then(() => false);
    // Nothing but output holds an exit back.
    if (this.#outputs.length === 0) return await Promise.race([isTold, lost]);
    const gone = this.#presence.gone(watching.signal).then(() => false);
    const first = await Promise.race([isTold, lost, gone]);
    watching.abort();
    return first;
  }

  /**
   * How a process ended that has gone without an exit. The guest may wait for its output to be read and closed, so
   * both are done first, for a client that does not take it too; then it has some time to speak.
   */
  async #statusOfGone(told: Promise<number>): Promise<number> {
    const { guest, clock, limits, onUntold } = this.#options;
    const settled = Promise.race([told, this.#ended]);
    let drained = await drainLeftover(settled, this.#progress, limits, clock);
    if (drained === "stalled") {
      for (const output of this.#outputs) output.dropClient();
      drained = await drainLeftover(settled, this.#progress, limits, clock);
    }
    const isHeld = drained !== "drained";
    if (isHeld) await closeQuietly(guest);
    const timer = new AbortController();
    const late = clock.delay(isHeld ? limits.closedMs : limits.lostMs, timer.signal).then(() => undefined);
    late.catch(() => {});
    const status = await Promise.race([told, late]);
    timer.abort();
    if (status !== undefined) return status;
    onUntold();
    return this.#wasKilled ? killedStatus(sigkill) : lostStatus;
  }
}

/**
 * Closes the client's ends. A client can no more hold up the end of a process by an end that does not close than by
 * output that it does not take.
 */
export async function closeClient(upstream: OpenStdio, clock: ProcessClock, { stalledMs }: DrainLimits): Promise<void> {
  const timer = new AbortController();
  const late = clock.delay(stalledMs, timer.signal);
  late.catch(() => {});
  await Promise.race([closeQuietly(upstream), late]);
  timer.abort();
}

/** Nobody is left to be told that an end which is given up could not be closed. */
async function closeQuietly(end: { close(): Promise<void> }): Promise<void> {
  try {
    await end.close();
  } catch {}
}
