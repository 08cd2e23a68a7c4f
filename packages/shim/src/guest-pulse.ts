import type { Clock } from "./clock.ts";
import type { Sandbox } from "./types.ts";

/** Times are in milliseconds. */
export interface PulseBounds {
  /** How long a guest that answers other questions at once may take for the one that matters. */
  readonly worked: number;
  /** How long a guest may answer nothing at all. */
  readonly silent: number;
  /** How long all of it may take, however slow the guest is; for ever when absent. */
  readonly longest?: number;
  /** While this is true no time counts: the VM is being ended, and its guest need say nothing. */
  readonly isEnding: () => boolean;
  /** How much of the same kind has been done: whatever else is may be what this waits behind. */
  readonly progress?: () => number;
}

/** How often the guest is asked for a sign of life in the shorter of the bounds. */
const questions = 10;

/**
 * Resolves when a guest has had its time for something: it was silent for too long, or was not, and did not do it.
 * A guest on a machine without a processor to spare is slow in everything. So it is asked for a sign of life all the
 * while, one question at a time, and a step in which an answer was late is none that it had for its work. The first
 * step needs no question: it may be all that there is. Rejects when the signal aborts.
 */
export async function watchGuest(
  guest: Pick<Sandbox, "ping">,
  { worked, silent, longest = Number.POSITIVE_INFINITY, isEnding, progress = () => 0 }: PulseBounds,
  clock: Clock,
  signal: AbortSignal,
): Promise<"worked" | "silent"> {
  const longestStep = Math.ceil(Math.min(worked, silent) / questions);
  const done = new AbortController();
  const until = AbortSignal.any([signal, done.signal]);
  let isAsked = false;
  let workedFor = 0;
  let silentFor = 0;
  let watchedFor = 0;
  let progressBefore = progress();
  const heard = (): void => {
    isAsked = false;
    silentFor = 0;
  };
  try {
    for (let isFirst = true; ; isFirst = false) {
      const isLate = isAsked;
      if (!isFirst && !isAsked) {
        isAsked = true;
        // A refusal is an answer too: of the guest, or of whoever knows that there is none.
        guest.ping(until).then(heard, heard);
      }
      const left = Math.min(silent - silentFor, isLate ? silent : worked - workedFor);
      const step = Math.min(longestStep, left);
      await clock.delay(step, signal);
      if (isEnding()) continue;
      watchedFor += step;
      if (watchedFor >= longest) return "worked";
      if (progress() !== progressBefore) {
        progressBefore = progress();
        workedFor = 0;
        silentFor = 0;
        continue;
      }
      silentFor += step;
      if (!isLate && !isAsked) workedFor += step;
      if (silentFor >= silent) return "silent";
      if (workedFor >= worked) return "worked";
    }
  } finally {
    done.abort();
  }
}
