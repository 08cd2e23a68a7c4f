import type { Readable, Writable } from "node:stream";
import { type Clock, type Exit, settlesWithin } from "@uvm-shim/lifecycle";
import { Drain, type DrainLimits } from "./drain.ts";
import { Presence, type PresencePace } from "./presence.ts";
import { type ClientPatience, copyInput, copyOutput, type OutputRelay, RelayProgress } from "./relay.ts";
import { lostStatus } from "./status.ts";
import type { GuestProcess, OpenStdio, ProcessFlavour } from "./types.ts";

/**
 * After a request to close stdin: what the client wrote before is in the pipe already, and is read within this time.
 */
const stdinClosingQuietMs = 250;

/** Why the exit code is unknown: the process is gone, or the guest reports a kill but no exit. */
export type UnreportedExit = "gone" | "kill without effect";

/** What the supervision of a running process is made from. */
export interface SupervisionOptions {
  readonly upstream: OpenStdio;
  readonly guest: Pick<GuestProcess, "stdin" | "stdout" | "stderr" | "wait" | "exists" | "close">;
  readonly flavour: Pick<
    ProcessFlavour<unknown, unknown, unknown>,
    "exitStatusOf" | "killedStatus" | "initMayBeOutlived"
  >;
  readonly clock: Clock;
  readonly limits: DrainLimits;
  readonly pace: PresencePace;
  readonly clientPatience: ClientPatience | undefined;
  readonly isInit: boolean;
  /** Resolves when the client has asked to close stdin. */
  readonly stdinClosing: Promise<void>;
  /** Resolves when the guest no longer knows the process, or the VM has exited, without an exit code. */
  readonly lost: Promise<void>;
  /** Called when the guest has not reported how the process ended. */
  readonly onUnreported: (why: UnreportedExit) => void;
}

/** A running process up to its exit: relays its stdio, notices its end, and drains its output. */
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
    const { guest, upstream, flavour, clock, pace, isInit, clientPatience } = options;
    const { moveOutput } = upstream;
    const copy = (source: Readable | undefined, sink: Writable | undefined): readonly OutputRelay[] => {
      if (source === undefined || sink === undefined) return [];
      const move = moveOutput && (() => moveOutput(source, sink));
      return [copyOutput(source, sink, this.#progress, { patience: clientPatience, move })];
    };
    this.#outputs = [...copy(guest.stdout, upstream.stdout), ...copy(guest.stderr, upstream.stderr)];
    const endsOthers = isInit && !flavour.initMayBeOutlived;
    this.#presence = new Presence({ guest, progress: this.#progress, clock, pace, endsOthers });
    void options.stdinClosing.then(() => upstream.closeStdin());
    if (guest.stdin && upstream.stdin) {
      void copyInput(upstream.stdin, guest.stdin, {
        clock,
        closing: options.stdinClosing,
        closingQuietMs: stdinClosingQuietMs,
      });
    }
  }

  /** Whether the process has ended in the guest; its output may still be on the way to the client. */
  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  /** Call it for each signal that the guest has accepted. */
  signalled({ isKill }: { readonly isKill: boolean }): void {
    if (isKill) this.#expectKilled();
    this.#presence.expectEnd();
  }

  /** Resolves when the process has ended, its output is drained, and all ends are closed. Never rejects. */
  async exit(): Promise<Exit> {
    const { guest, upstream, flavour, clock, limits } = this.#options;
    const reported = guest.wait().then(flavour.exitStatusOf, () => lostStatus);
    const how = await this.#end(reported);
    this.#hasEnded = true;
    this.#over.abort();
    const exitedAt = clock.now();
    const drain = new Drain(this.#progress, limits, clock);
    const status = how === "reported" ? await reported : await this.#statusOfGone(reported, how, drain);
    if ((await drain.afterExit(this.#ended)) === "over") {
      // Output of other processes is not read any more; the client still gets what was read before.
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

  /** Bounds the wait for a guest that reports a kill but neither an exit nor that the process is gone. */
  #expectKilled(): void {
    const { clock, limits, isInit } = this.#options;
    if (this.#wasKilled) return;
    this.#wasKilled = true;
    // An init process that does not end keeps everything its container holds: only the end of the VM releases that.
    if (!isInit) clock.delay(limits.killedMs, this.#over.signal).then(this.#killUnheeded.resolve, () => {});
  }

  async #end(reported: Promise<number>): Promise<"reported" | UnreportedExit> {
    const ends: Promise<"reported" | UnreportedExit>[] = [
      reported.then(() => "reported"),
      this.#options.lost.then(() => "gone"),
      this.#killUnheeded.promise.then(() => "kill without effect"),
    ];
    const watching = new AbortController();
    // Only unread output delays the report of an exit.
    if (this.#outputs.length > 0) ends.push(this.#presence.gone(watching.signal).then(() => "gone"));
    const first = await Promise.race(ends);
    watching.abort();
    return first;
  }

  /**
   * The status of a process that is gone without a reported exit. The guest may be waiting for its output to be read
   * and closed, so both happen first, even if the client reads none of it; then the guest has some time to report.
   */
  async #statusOfGone(reported: Promise<number>, why: UnreportedExit, drain: Drain): Promise<number> {
    const { guest, flavour, clock, limits, onUnreported } = this.#options;
    const settled = Promise.race([reported, this.#ended]);
    let drained = await drain.afterLoss(settled);
    if (drained === "stalled") {
      for (const output of this.#outputs) output.dropClient();
      drained = await drain.afterLoss(settled);
    }
    const isHeld = drained !== "drained";
    if (isHeld) await closeQuietly(guest);
    if (await settlesWithin(reported, isHeld ? limits.closedMs : limits.lostMs, clock)) return await reported;
    onUnreported(why);
    return this.#wasKilled ? flavour.killedStatus : lostStatus;
  }
}

/**
 * Closes the client's streams, but waits only for a limited time: a client must not delay an exit by a stream that does
 * not close.
 */
export async function closeClient(upstream: OpenStdio, clock: Clock, { stalledMs }: DrainLimits): Promise<void> {
  await settlesWithin(closeQuietly(upstream), stalledMs, clock);
}

/** Ignores failures: these streams are no longer used. */
async function closeQuietly(end: { close(): Promise<void> }): Promise<void> {
  try {
    await end.close();
  } catch {}
}
