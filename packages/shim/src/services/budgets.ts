import { abortable, type Clock, settlesWithin, withDeadline } from "@uvm-shim/lifecycle";
import { describeError, ShimError } from "../errors.ts";
import type { Log, Sandbox } from "../platform.ts";
import { ConcurrencyLimit } from "./concurrency-limit.ts";
import { type WatchedSandbox, watchedByMany, watchSandbox } from "./sandbox/sandbox-liveness.ts";
import type { SandboxSlot } from "./sandbox/sandbox-slot.ts";

/**
 * Time limits in milliseconds. Those of calls are below containerd's own: 2 s for statistics, 5 s for a deletion; for
 * pids containerd waits forever.
 */
export const budgets = {
  figures: 1_500,
  /** While containerd starts, it queries one task after the other. */
  pids: 500,
  deletion: 4_000,
  /** How long a guest may be silent before a pending deletion fails. */
  silence: 750,
  /** How long a guest may be silent during a deletion before its VM is ended. */
  held: 10_000,
  /** How long a guest may take for a deletion that ends the VM anyway before its liveness is checked. */
  release: 1_500,
  /** How long a guest may take to send SIGKILL before its liveness is checked. */
  kill: 5_000,
  /**
   * How long an init process may survive SIGKILL in a guest that answers pings promptly, by the guest's system: a Windows
   * guest ends the whole container, and hcsshim's shim gives it as much.
   */
  killed: { linux: 10_000, windows: 30_000 },
  /** The same in a guest that is slow in everything. */
  killedAtMost: 90_000,
  /** How long a ping may take. */
  answer: 500,
  /** How long the host may take to end the VM of a guest that hangs. */
  ending: 1_500,
} as const;

/** Concurrent deletions of containers in one pod. */
const mostDeletions = 8;

/** What decides how long a caller waits. */
export interface BudgetOptions {
  readonly clock: Clock;
  readonly signal?: AbortSignal | undefined;
  /** The sandbox whose guest and host do the work, if any. */
  readonly sandbox?: WatchedSandbox | undefined;
  /** How long its guest may be silent, if less than the work may take. */
  readonly silent?: number | undefined;
  /** Whether the host is ending the VM. */
  readonly isEnding?: () => boolean;
  /** Counts completed work of the same kind. */
  readonly progress?: () => number;
}

/**
 * Runs the work within a time limit. When that is over, aborts its signal and rejects at once, with DeadlineExceeded, or
 * with Unavailable when the guest's silence ended it early. Time in which guest or host answer pings late does not count,
 * nor does the time that the host needs to end the VM, and other completed work of the same kind restarts the limit.
 */
export async function withinBudget<T>(
  milliseconds: number,
  operation: string,
  work: (until: AbortSignal) => Promise<T>,
  { clock, signal, sandbox, silent = milliseconds, isEnding = () => false, progress }: BudgetOptions,
): Promise<T> {
  const bounds = { worked: milliseconds, silent, hostSilent: milliseconds, isEnding, ...(progress && { progress }) };
  let outcome: "worked" | "silent" | "host silent" = "worked";
  const delay = async (limit: number, finished: AbortSignal): Promise<void> => {
    if (sandbox === undefined) await clock.delay(limit, finished);
    else outcome = await watchSandbox(sandbox, bounds, clock, finished);
  };
  const error = (): ShimError =>
    outcome === "silent" && silent < milliseconds
      ? new ShimError(
          "Unavailable",
          `${operation}: the guest has not answered for ${silent} ms, the operation continues and can be repeated`,
        )
      : new ShimError("DeadlineExceeded", `${operation}: not done within ${milliseconds} ms`);
  const deadline = { clock: { delay }, milliseconds, signal, error };
  return await withDeadline((until) => abortable(work(until), until), deadline);
}

/** Calls about a sandbox's tasks with a time limit; in the guest, a call may be queued behind others of its kind. */
export class BoundedCalls {
  readonly #options: { readonly slot: SandboxSlot; readonly clock: Clock };
  /** Counts of completed calls. */
  readonly #done = { figures: 0, pids: 0, deletion: 0 };
  readonly #deletions: ConcurrencyLimit;
  /** Shares the pings of a sandbox among concurrent calls. */
  readonly #watched = new WeakMap<Sandbox, WatchedSandbox>();

  constructor(options: { readonly slot: SandboxSlot; readonly clock: Clock }) {
    this.#options = options;
    this.#deletions = new ConcurrencyLimit({ most: mostDeletions, longest: budgets.deletion, clock: options.clock });
  }

  /** Queues a deletion: a guest that runs too many at once completes none of them early. */
  inTurn<T>(deletion: () => Promise<T>): Promise<T> {
    return this.#deletions.run(deletion);
  }

  /** Deletes a task or an exec. A deletion that ends the VM anyway does not fail because the guest is silent. */
  delete<T>(
    { id, execId }: { readonly id: string; readonly execId: string },
    work: (until: AbortSignal) => Promise<T>,
    signal: AbortSignal | undefined,
  ): Promise<T> {
    const takesVmAlong = execId === "" && this.#options.slot.goesWith(id);
    return this.run("deletion", `delete task ${id}`, work, signal, takesVmAlong ? undefined : budgets.silence);
  }

  /** @param silent How long the guest may be silent, if less than the call may take. */
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

/** What is needed to end a VM whose guest is lost. */
export interface LostGuestOptions {
  readonly slot: SandboxSlot;
  readonly clock: Clock;
  readonly log: Log;
}

/** Waits a while for work in the guest. If the guest does not answer pings, its VM is being ended when this resolves. */
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
  // The host is not watched: a silent host could not end the VM either.
  const outcome = await silenceBeside(work, { ping: (until) => sandbox.ping(until) }, milliseconds, options);
  if (outcome === "worked") return "guest works";
  void endVm(unanswered, { operation, milliseconds }, options);
  return "VM ends";
}

/** Ends the VM of a guest that hangs: soon if the task's deletion ends it anyway, otherwise after a longer silence. */
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
 * As `orEndVm`, for a VM that no client wants to end. The guest counts as silent only while its host answers, because a
 * starved host keeps its guests from answering. Repeats a failed attempt to end the VM; it has ended when this resolves.
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

const unanswered = "the guest does not answer, ending its VM";

/** Which party is silent while the work continues; "worked" when the work is over, or both answer pings in time. */
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

/** Ends the VM because of its guest; pending calls fail with it. Resolves with whether the host has ended it. */
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
    log.log("error", "cannot stop the sandbox", { sandbox, error: describeError(error) });
    return false;
  }
}
