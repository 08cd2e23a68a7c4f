import type { Clock } from "./clock.ts";
import type { Sandbox } from "./types.ts";

/** Whom is waited for: a guest, and with `pingHost` its host as well. */
export type WatchedSandbox = Pick<Sandbox, "ping"> & Partial<Pick<Sandbox, "pingHost">>;

/** Times are in milliseconds. */
export interface PulseBounds {
  /** How long one that answers other questions at once may take for the one that matters. */
  readonly worked: number;
  /** How long one may answer nothing at all. */
  readonly silent: number;
  /** How long all of it may take, however slow they are; for ever when absent. */
  readonly longest?: number;
  /** While this is true no time counts: the VM is being ended, and its guest need say nothing. */
  readonly isEnding: () => boolean;
  /** How much of the same kind has been done: whatever else is may be what this waits behind. */
  readonly progress?: () => number;
}

/** How often each is asked for a sign of life in the shorter of the bounds. */
const questions = 10;

/** One who is asked for signs of life, one question at a time. */
class Pulse {
  readonly #ask: () => Promise<void>;
  isAsked = false;
  silentFor = 0;

  constructor(ask: () => Promise<void>) {
    this.#ask = ask;
  }

  ask(): void {
    if (this.isAsked) return;
    this.isAsked = true;
    const heard = (): void => {
      this.isAsked = false;
      this.silentFor = 0;
    };
    // A refusal is an answer too: of the one asked, or of whoever knows that there is none.
    this.#ask().then(heard, heard);
  }
}

/**
 * Resolves when a guest and its host have had their time for something: one was silent for too long, or neither was, and
 * it was not done. On a machine without a processor to spare they are slow in everything. So they are asked for a sign of
 * life all the while, and a step in which an answer was late is none that they had for their work. The first step needs no
 * question: it may be all that there is. Rejects when the signal aborts.
 */
export async function watchSandbox(
  sandbox: WatchedSandbox,
  { worked, silent, longest = Number.POSITIVE_INFINITY, isEnding, progress = () => 0 }: PulseBounds,
  clock: Clock,
  signal: AbortSignal,
): Promise<"worked" | "silent"> {
  const longestStep = Math.ceil(Math.min(worked, silent) / questions);
  const done = new AbortController();
  const until = AbortSignal.any([signal, done.signal]);
  const pulses = [new Pulse(() => sandbox.ping(until))];
  if (sandbox.pingHost !== undefined) pulses.push(new Pulse(async () => await sandbox.pingHost?.(until)));
  let workedFor = 0;
  let watchedFor = 0;
  let progressBefore = progress();
  try {
    for (let isFirst = true; ; isFirst = false) {
      const isLate = pulses.some(({ isAsked }) => isAsked);
      if (!isFirst) for (const pulse of pulses) pulse.ask();
      const patience = Math.min(...pulses.map(({ silentFor }) => silent - silentFor));
      const step = Math.min(longestStep, patience, isLate ? silent : worked - workedFor);
      await clock.delay(step, signal);
      if (isEnding()) continue;
      watchedFor += step;
      if (watchedFor >= longest) return "worked";
      if (progress() !== progressBefore) {
        progressBefore = progress();
        workedFor = 0;
        for (const pulse of pulses) pulse.silentFor = 0;
        continue;
      }
      for (const pulse of pulses) pulse.silentFor += step;
      if (!isLate && !pulses.some(({ isAsked }) => isAsked)) workedFor += step;
      if (pulses.some(({ silentFor }) => silentFor >= silent)) return "silent";
      if (workedFor >= worked) return "worked";
    }
  } finally {
    done.abort();
  }
}
