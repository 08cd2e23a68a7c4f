import { abortable } from "@uvm-shim/lifecycle";
import { type Clock, settlesWithin } from "./clock.ts";
import { messageOf, ShimError } from "./errors.ts";
import { watchGuest } from "./guest-pulse.ts";
import type { SandboxSlot } from "./sandbox-slot.ts";
import type { Log, Sandbox } from "./types.ts";

/**
 * What calls may take in milliseconds, less than what containerd waits: 2 s for figures, 5 s for a deletion, and no
 * end at all for pids.
 */
export const budgets = {
  figures: 1_500,
  /** containerd asks one task after the other while it starts. */
  pids: 500,
  deletion: 4_000,
  /** What a deletion that takes the VM along leaves to the guest before it looks whether there still is one. */
  release: 1_500,
  /** How long a guest may take to kill something before it is looked whether there still is one. */
  kill: 5_000,
  /** For a sign of life. */
  answer: 500,
  /** For ending a VM whose guest hangs. */
  ending: 1_500,
} as const;

/** Whom the work waits for, where that is the guest of a sandbox. */
export interface BudgetOptions {
  readonly clock: Clock;
  readonly signal?: AbortSignal | undefined;
  readonly guest?: Pick<Sandbox, "ping"> | undefined;
  /** Whether it is the host that is waited for at the moment, which ends the VM. */
  readonly isEnding?: () => boolean;
  /** How many others of its kind have been done. */
  readonly progress?: () => number;
}

/**
 * Runs the work for so long; then its signal aborts, and the caller gets DeadlineExceeded, however long the work
 * itself goes on. Time in which a guest is slow to answer anything at all does not count, as long as it answers, nor
 * does the time that the host needs to end the VM; and whenever another of its kind is done, it starts anew.
 */
export async function withinBudget<T>(
  milliseconds: number,
  operation: string,
  work: (until: AbortSignal) => Promise<T>,
  { clock, signal, guest, isEnding = () => false, progress }: BudgetOptions,
): Promise<T> {
  const finished = new AbortController();
  const expired = new AbortController();
  const bounds = { worked: milliseconds, silent: milliseconds };
  const expiry =
    guest === undefined
      ? clock.delay(milliseconds, finished.signal)
      : watchGuest(guest, { ...bounds, isEnding, ...(progress && { progress }) }, clock, finished.signal);
  expiry.then(
    () => expired.abort(new ShimError("DeadlineExceeded", `${operation}: not done within ${milliseconds} ms`)),
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

  constructor(options: { readonly slot: SandboxSlot; readonly clock: Clock }) {
    this.#options = options;
  }

  async run<T>(
    kind: "figures" | "pids" | "deletion",
    operation: string,
    work: (until: AbortSignal) => Promise<T>,
    signal: AbortSignal | undefined,
  ): Promise<T> {
    const { clock, slot } = this.#options;
    const done = await withinBudget(budgets[kind], operation, work, {
      ...{ clock, signal, guest: slot.present?.sandbox },
      isEnding: () => slot.isStopping,
      progress: () => this.#done[kind],
    });
    this.#done[kind] += 1;
    return done;
  }
}

/**
 * Waits a while for what only the guest can do. One that gives no sign of life never will, and then its VM is being
 * ended when this resolves.
 */
export async function orEndVm(
  operation: string,
  work: Promise<unknown>,
  milliseconds: number,
  { slot, clock, log }: { readonly slot: SandboxSlot; readonly clock: Clock; readonly log: Log },
): Promise<"guest works" | "VM ends"> {
  const sandbox = slot.present?.sandbox;
  if (sandbox === undefined) {
    await settlesWithin(work, milliseconds, clock);
    return "guest works";
  }
  const settled = new AbortController();
  const bounds = { worked: milliseconds, silent: milliseconds + budgets.answer, isEnding: () => slot.isStopping };
  const outcome = await Promise.race([
    work.then(
      () => "worked" as const,
      () => "worked" as const,
    ),
    watchGuest(sandbox, bounds, clock, settled.signal).catch(() => "worked" as const),
  ]);
  settled.abort();
  if (outcome === "worked") return "guest works";
  log.log("error", "the guest does not answer, so its VM is ended", { sandbox: sandbox.id, operation, milliseconds });
  slot.stop(budgets.ending).catch((error: unknown) => {
    log.log("error", "sandbox not stopped", { sandbox: sandbox.id, error: messageOf(error) });
  });
  return "VM ends";
}
