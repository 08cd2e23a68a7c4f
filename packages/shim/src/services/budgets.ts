import { abortable, type Clock, settlesWithin } from "@uvm-shim/lifecycle";
import { describeError, ShimError } from "../errors.ts";
import type { Log, Sandbox } from "../platform.ts";
import { type WatchedSandbox, watchedByMany, watchSandbox } from "./sandbox/sandbox-pulse.ts";
import type { SandboxSlot } from "./sandbox/sandbox-slot.ts";
import { Turns } from "./turns.ts";

/**
 * What calls may take in milliseconds, less than what containerd waits: 2 s for figures, 5 s for a deletion, and no
 * end at all for pids.
 */
export const budgets = {
  figures: 1_500,
  /** containerd asks one task after the other while it starts. */
  pids: 500,
  deletion: 4_000,
  /** How long a guest may say nothing before those who want something deleted in it are told so. */
  silence: 750,
  /** How long it may say nothing while something is to be deleted in it, before its VM is ended. */
  held: 10_000,
  /** What a deletion that takes the VM along leaves to the guest before it looks whether there still is one. */
  release: 1_500,
  /** How long a guest may take to kill something before it is looked whether there still is one. */
  kill: 5_000,
  /** How long an init may go on that SIGKILL was meant to end, by the time of a guest that answers all else at once. */
  killed: 10_000,
  /** The same by all of the time, for a guest that is slow in everything. */
  killedAtMost: 90_000,
  /** For a sign of life. */
  answer: 500,
  /** For ending a VM whose guest hangs. */
  ending: 1_500,
} as const;

/** How many containers of one pod are deleted at once. */
const mostDeletions = 8;

/** Whom the work waits for, where that is a sandbox: its guest and its host. */
export interface BudgetOptions {
  readonly clock: Clock;
  readonly signal?: AbortSignal | undefined;
  readonly sandbox?: WatchedSandbox | undefined;
  /** How long its guest may answer nothing at all, where that is less than what the work may take. */
  readonly silent?: number | undefined;
  /** Whether it is the host that is waited for at the moment, which ends the VM. */
  readonly isEnding?: () => boolean;
  /** How many others of its kind have been done. */
  readonly progress?: () => number;
}

/**
 * Runs the work for so long; then its signal aborts, and the caller gets DeadlineExceeded, or Unavailable where the guest
 * was silent for less than that already, however long the work itself goes on. Time in which guest or host are slow to
 * answer anything at all does not count, as long as they answer, nor does the time that the host needs to end the VM; and
 * whenever another of its kind is done, it starts anew.
 */
export async function withinBudget<T>(
  milliseconds: number,
  operation: string,
  work: (until: AbortSignal) => Promise<T>,
  { clock, signal, sandbox, silent = milliseconds, isEnding = () => false, progress }: BudgetOptions,
): Promise<T> {
  const finished = new AbortController();
  const expired = new AbortController();
  const bounds = { worked: milliseconds, silent, hostSilent: milliseconds };
  const expiry =
    sandbox === undefined
      ? clock.delay(milliseconds, finished.signal)
      : watchSandbox(sandbox, { ...bounds, isEnding, ...(progress && { progress }) }, clock, finished.signal);
  expiry.then(
    (why) => {
      const isEarly = why === "silent" && silent < milliseconds;
      expired.abort(
        isEarly
          ? new ShimError(
              "Unavailable",
              `${operation}: the guest has answered nothing for ${silent} ms; this is still being done, and can be asked for again`,
            )
          : new ShimError("DeadlineExceeded", `${operation}: not done within ${milliseconds} ms`),
      );
    },
    () => {},
  );
  const until = signal === undefined ? expired.signal : AbortSignal.any([signal, expired.signal]);
  try {
    return await abortable(work(until), until);
  } finally {
    finished.abort();
  }
}

/** Calls about the tasks of a sandbox, which may stand behind others of their kind in its guest. */
export class BoundedCalls {
  readonly #options: { readonly slot: SandboxSlot; readonly clock: Clock };
  /** How many have been done. */
  readonly #done = { figures: 0, pids: 0, deletion: 0 };
  readonly #deletions: Turns;
  /** By sandbox; many calls may wait for one. */
  readonly #watched = new WeakMap<Sandbox, WatchedSandbox>();

  constructor(options: { readonly slot: SandboxSlot; readonly clock: Clock }) {
    this.#options = options;
    this.#deletions = new Turns({ most: mostDeletions, longest: budgets.deletion, clock: options.clock });
  }

  /** Has a deletion wait behind others, which a guest that does all that it is asked to at once would all end last. */
  inTurn<T>(deletion: () => Promise<T>): Promise<T> {
    return this.#deletions.run(deletion);
  }

  /** Of a task or an exec. A guest that keeps what its VM goes with is not waited for anyway. */
  delete<T>(
    { id, execId }: { readonly id: string; readonly execId: string },
    work: (until: AbortSignal) => Promise<T>,
    signal: AbortSignal | undefined,
  ): Promise<T> {
    const takesVmAlong = execId === "" && this.#options.slot.goesWith(id);
    return this.run("deletion", `delete task ${id}`, work, signal, takesVmAlong ? undefined : budgets.silence);
  }

  /** @param silent How long the guest may answer nothing at all, where that is less than what such a call may take. */
  async run<T>(
    kind: "figures" | "pids" | "deletion",
    operation: string,
    work: (until: AbortSignal) => Promise<T>,
    signal: AbortSignal | undefined,
    silent?: number,
  ): Promise<T> {
    const { clock, slot } = this.#options;
    const done = await withinBudget(budgets[kind], operation, work, {
      ...{ clock, signal, sandbox: this.#sandbox(), silent },
      isEnding: () => slot.isStopping,
      progress: () => this.#done[kind],
    });
    this.#done[kind] += 1;
    return done;
  }

  #sandbox(): WatchedSandbox | undefined {
    const sandbox = this.#options.slot.present?.sandbox;
    if (sandbox === undefined) return undefined;
    const watched = this.#watched.get(sandbox) ?? watchedByMany(sandbox);
    this.#watched.set(sandbox, watched);
    return watched;
  }
}

export interface LostGuestOptions {
  readonly slot: SandboxSlot;
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * Waits a while for what only the guest can do. One that gives no sign of life never will, and then its VM is being
 * ended when this resolves.
 */
export async function orEndVm(
  operation: string,
  work: Promise<unknown>,
  milliseconds: number,
  options: LostGuestOptions,
): Promise<"guest works" | "VM ends"> {
  const sandbox = options.slot.present?.sandbox;
  if (sandbox === undefined) {
    await settlesWithin(work, milliseconds, options.clock);
    return "guest works";
  }
  // What becomes of the VM is for the guest's silence to decide: a host that says nothing could not end it either.
  const outcome = await silenceBeside(work, { ping: (until) => sandbox.ping(until) }, milliseconds, options);
  if (outcome === "worked") return "guest works";
  void endVm(unanswered, { operation, milliseconds }, options);
  return "VM ends";
}

/** A guest that hangs keeps nobody whose task its VM goes with, and nobody else for ever: they could not end their pod before. */
export function orEndVmOf(
  taskId: string,
  operation: string,
  work: Promise<unknown>,
  options: LostGuestOptions,
): Promise<"guest works" | "VM ends"> {
  return options.slot.goesWith(taskId)
    ? orEndVm(operation, work, budgets.release, options)
    : orEndVmAtLast(operation, work, budgets.held, options);
}

/**
 * The same where nobody has asked for the end of the VM. The guest counts as silent only while its host answers: one that is
 * starved keeps its guests from answering. A VM that could not be ended is tried again, and has ended when this says so.
 */
async function orEndVmAtLast(
  operation: string,
  work: Promise<unknown>,
  milliseconds: number,
  options: LostGuestOptions,
): Promise<"guest works" | "VM ends"> {
  for (;;) {
    const sandbox = options.slot.present?.sandbox;
    if (sandbox === undefined) return "guest works";
    const outcome = await silenceBeside(work, sandbox, milliseconds, options);
    if (outcome === "worked") return "guest works";
    if (outcome === "silent" && (await endVm(unanswered, { operation, milliseconds }, options))) return "VM ends";
  }
}

const unanswered = "the guest does not answer, so its VM is ended";

/** Who of those watched is silent while the work goes on; or that it is over, or that all else is answered. */
async function silenceBeside(
  work: Promise<unknown>,
  watched: WatchedSandbox,
  milliseconds: number,
  { slot, clock }: LostGuestOptions,
): Promise<"worked" | "silent" | "host silent"> {
  const settled = new AbortController();
  const bounds = { worked: milliseconds, silent: milliseconds + budgets.answer, isEnding: () => slot.isStopping };
  try {
    return await Promise.race([
      work.then(
        () => "worked" as const,
        () => "worked" as const,
      ),
      watchSandbox(watched, bounds, clock, settled.signal).catch(() => "worked" as const),
    ]);
  } finally {
    settled.abort();
  }
}

/**
 * Ends the VM for its guest's sake. Whoever waits for something in it learns of that by its end. Answers whether the host
 * has done it.
 */
export async function endVm(
  why: string,
  fields: { readonly [key: string]: unknown },
  { slot, log }: { readonly slot: SandboxSlot; readonly log: Log },
): Promise<boolean> {
  const sandbox = slot.present?.sandbox.id;
  log.log("error", why, { sandbox, ...fields });
  try {
    await slot.stop(budgets.ending);
    return true;
  } catch (error) {
    log.log("error", "sandbox not stopped", { sandbox, error: describeError(error) });
    return false;
  }
}
