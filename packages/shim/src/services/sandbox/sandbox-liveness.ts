import { abortable, type Clock } from "@uvm-shim/lifecycle";
import type { Sandbox } from "../../platform.ts";

/** The guest that is waited for and, with `pingHost`, its host. */
export type WatchedSandbox = Pick<Sandbox, "ping"> & Partial<Pick<Sandbox, "pingHost">>;

/** All times are in milliseconds. */
export interface LivenessBounds {
  /** How long the work may take while guest and host answer pings promptly. */
  readonly worked: number;
  /** How long the guest may leave pings unanswered while its host answers them. */
  readonly silent: number;
  /** The same for the host; default: `silent`. */
  readonly hostSilent?: number;
  /** How long the work may take in total, however slow guest and host are; default: no limit. */
  readonly longest?: number;
  /** While true, no time counts: the VM is being ended and its guest need not answer. */
  readonly isEnding: () => boolean;
  /** Counts completed work of the same kind, behind which this work may be queued. */
  readonly progress?: () => number;
}

/** Pings within the time of an answering guest, and within that of a silent one. */
const pings = { worked: 10, silent: 5 } as const;

/** Pings one party, one ping at a time. */
class LivenessProbe {
  readonly #ask: () => Promise<void>;
  readonly #silent: number;
  isPending = false;
  silentFor = 0;

  constructor(ask: () => Promise<void>, silent: number) {
    this.#ask = ask;
    this.#silent = silent;
  }

  get patience(): number {
    return this.#silent - this.silentFor;
  }

  ask(): void {
    if (this.isPending) return;
    this.isPending = true;
    const heard = (): void => {
      this.isPending = false;
      this.silentFor = 0;
    };
    // A refusal counts as an answer. A missed deadline does not.
    this.#ask().then(heard, (error: unknown) => {
      if ((error as { readonly code?: unknown } | undefined)?.code === "DeadlineExceeded") this.isPending = false;
      else heard();
    });
  }
}

/** Shares one ping among all concurrent callers; it is aborted when the last of them gives up. */
function sharedProbe(ask: (signal: AbortSignal) => Promise<void>): (signal?: AbortSignal) => Promise<void> {
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

/** Lets many watchers of a sandbox share its pings. */
export function watchedByMany(sandbox: Required<WatchedSandbox>): Required<WatchedSandbox> {
  return {
    ping: sharedProbe((signal) => sandbox.ping(signal)),
    pingHost: sharedProbe((signal) => sandbox.pingHost(signal)),
  };
}

/**
 * Resolves when guest and host have used up their time: one of them was silent for too long, or both answered pings and
 * the work did not end. On an overloaded machine both are slow in everything. So both are pinged all the time, and a step
 * with a late answer does not count as working time; nor does the guest count as silent in a step in which its host was
 * late. The first step sends no ping unless silence ends earlier than work: most work is done by then. Rejects when the
 * signal aborts.
 */
export async function watchSandbox(
  sandbox: WatchedSandbox,
  bounds: LivenessBounds,
  clock: Clock,
  signal: AbortSignal,
): Promise<"worked" | "silent" | "host silent"> {
  const { worked, silent, hostSilent = silent, longest = Number.POSITIVE_INFINITY, isEnding } = bounds;
  const { progress = () => 0 } = bounds;
  const longestStep = Math.ceil(Math.min(worked / pings.worked, silent / pings.silent));
  const done = new AbortController();
  const until = AbortSignal.any([signal, done.signal]);
  const guest = new LivenessProbe(() => sandbox.ping(until), silent);
  const host = sandbox.pingHost && new LivenessProbe(async () => await sandbox.pingHost?.(until), hostSilent);
  const probes = host === undefined ? [guest] : [guest, host];
  let workedFor = 0;
  let watchedFor = 0;
  let progressBefore = progress();
  try {
    for (let isFirst = true; ; isFirst = false) {
      const isLate = probes.some(({ isPending }) => isPending);
      const isHostLate = host?.isPending === true;
      if (!isFirst || silent < worked) for (const probe of probes) probe.ask();
      const patience = Math.min(...probes.map((probe) => probe.patience));
      const step = Math.min(longestStep, patience, isLate ? patience : worked - workedFor);
      await clock.delay(step, signal);
      if (isEnding()) continue;
      watchedFor += step;
      if (watchedFor >= longest) return "worked";
      if (progress() !== progressBefore) {
        progressBefore = progress();
        workedFor = 0;
        for (const probe of probes) probe.silentFor = 0;
        continue;
      }
      if (!isHostLate && !host?.isPending) guest.silentFor += step;
      if (host !== undefined) host.silentFor += step;
      if (!isLate && !probes.some(({ isPending }) => isPending)) workedFor += step;
      if (guest.patience <= 0) return "silent";
      if (host !== undefined && host.patience <= 0) return "host silent";
      if (workedFor >= worked) return "worked";
    }
  } finally {
    done.abort();
  }
}
