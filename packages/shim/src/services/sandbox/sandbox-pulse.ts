import { abortable, type Clock } from "@uvm-shim/lifecycle";
import type { Sandbox } from "../../platform.ts";

/** Whom is waited for: a guest, and with `pingHost` its host as well. */
export type WatchedSandbox = Pick<Sandbox, "ping"> & Partial<Pick<Sandbox, "pingHost">>;

/** Times are in milliseconds. */
export interface PulseBounds {
  /** How long one that answers other questions at once may take for the one that matters. */
  readonly worked: number;
  /** How long the guest may answer nothing at all, while its host answers. */
  readonly silent: number;
  /** The same for the host; as for the guest when absent. */
  readonly hostSilent?: number;
  /** How long all of it may take, however slow they are; for ever when absent. */
  readonly longest?: number;
  /** While this is true no time counts: the VM is being ended, and its guest need say nothing. */
  readonly isEnding: () => boolean;
  /** How much of the same kind has been done: whatever else is may be what this waits behind. */
  readonly progress?: () => number;
}

/** How often each is asked for a sign of life in the time that one has which answers, and in that of one which does not. */
const questions = { worked: 10, silent: 5 } as const;

/** One who is asked for signs of life, one question at a time. */
class Pulse {
  readonly #ask: () => Promise<void>;
  readonly #silent: number;
  isAsked = false;
  silentFor = 0;

  constructor(ask: () => Promise<void>, silent: number) {
    this.#ask = ask;
    this.#silent = silent;
  }

  get patience(): number {
    return this.#silent - this.silentFor;
  }

  ask(): void {
    if (this.isAsked) return;
    this.isAsked = true;
    const heard = (): void => {
      this.isAsked = false;
      this.silentFor = 0;
    };
    // A refusal is an answer too: of the one asked, or of whoever knows that there is none. That none came in time is not.
    this.#ask().then(heard, (error: unknown) => {
      if ((error as { readonly code?: unknown } | undefined)?.code === "DeadlineExceeded") this.isAsked = false;
      else heard();
    });
  }
}

/** Asks one question for all who want to know the same at that time; it is dropped with the last of them. */
function asksOnce(ask: (signal: AbortSignal) => Promise<void>): (signal?: AbortSignal) => Promise<void> {
  let asking: { readonly answer: Promise<void>; readonly drop: AbortController; waiting: number } | undefined;
  const begin = () => {
    const drop = new AbortController();
    return { answer: ask(drop.signal), drop, waiting: 0 };
  };
  return async (signal) => {
    asking ??= begin();
    const own = asking;
    own.waiting += 1;
    try {
      await abortable(own.answer, signal);
    } finally {
      own.waiting -= 1;
      if (asking === own && own.waiting === 0) {
        asking = undefined;
        own.drop.abort();
      }
    }
  };
}

/** The same sandbox, for many who watch it at once: a sign of life is one for all of them. */
export function watchedByMany(sandbox: Required<WatchedSandbox>): Required<WatchedSandbox> {
  return {
    ping: asksOnce((signal) => sandbox.ping(signal)),
    pingHost: asksOnce((signal) => sandbox.pingHost(signal)),
  };
}

/**
 * Resolves when a guest and its host have had their time for something: one was silent for too long, or neither was, and
 * it was not done. On a machine without a processor to spare they are slow in everything. So they are asked for a sign of
 * life all the while, and a step in which an answer was late is none that they had for their work; nor is a guest silent
 * in one in which its host was late. The first step needs no question where silence alone is not what ends it: it may be
 * all that there is. Rejects when the signal aborts.
 */
export async function watchSandbox(
  sandbox: WatchedSandbox,
  bounds: PulseBounds,
  clock: Clock,
  signal: AbortSignal,
): Promise<"worked" | "silent" | "host silent"> {
  const { worked, silent, hostSilent = silent, longest = Number.POSITIVE_INFINITY, isEnding } = bounds;
  const { progress = () => 0 } = bounds;
  const longestStep = Math.ceil(Math.min(worked / questions.worked, silent / questions.silent));
  const done = new AbortController();
  const until = AbortSignal.any([signal, done.signal]);
  const guest = new Pulse(() => sandbox.ping(until), silent);
  const host = sandbox.pingHost && new Pulse(async () => await sandbox.pingHost?.(until), hostSilent);
  const pulses = host === undefined ? [guest] : [guest, host];
  let workedFor = 0;
  let watchedFor = 0;
  let progressBefore = progress();
  try {
    for (let isFirst = true; ; isFirst = false) {
      const isLate = pulses.some(({ isAsked }) => isAsked);
      const isHostLate = host?.isAsked === true;
      if (!isFirst || silent < worked) for (const pulse of pulses) pulse.ask();
      const patience = Math.min(...pulses.map((pulse) => pulse.patience));
      const step = Math.min(longestStep, patience, isLate ? patience : worked - workedFor);
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
      if (!isHostLate && !host?.isAsked) guest.silentFor += step;
      if (host !== undefined) host.silentFor += step;
      if (!isLate && !pulses.some(({ isAsked }) => isAsked)) workedFor += step;
      if (guest.patience <= 0) return "silent";
      if (host !== undefined && host.patience <= 0) return "host silent";
      if (workedFor >= worked) return "worked";
    }
  } finally {
    done.abort();
  }
}
