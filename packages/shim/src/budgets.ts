import { abortable, type Clock, settlesWithin } from "./clock.ts";
import { messageOf, ShimError } from "./errors.ts";
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

/**
 * Runs the work for so long; then its signal aborts, and the caller gets DeadlineExceeded, however long the work
 * itself goes on.
 */
export async function withinBudget<T>(
  milliseconds: number,
  operation: string,
  work: (until: AbortSignal) => Promise<T>,
  { clock, signal }: { readonly clock: Clock; readonly signal?: AbortSignal | undefined },
): Promise<T> {
  const finished = new AbortController();
  const expired = new AbortController();
  clock.delay(milliseconds, finished.signal).then(
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
  if (await settlesWithin(work, milliseconds, clock)) return "guest works";
  const sandbox = slot.present?.sandbox;
  if (sandbox === undefined || (await guestAnswers(sandbox, clock))) return "guest works";
  log.log("error", "the guest does not answer, so its VM is ended", { sandbox: sandbox.id, operation, milliseconds });
  slot.stop(budgets.ending).catch((error: unknown) => {
    log.log("error", "sandbox not stopped", { sandbox: sandbox.id, error: messageOf(error) });
  });
  return "VM ends";
}

async function guestAnswers(sandbox: Sandbox, clock: Clock): Promise<boolean> {
  const enough = new AbortController();
  try {
    return await settlesWithin(sandbox.ping(enough.signal), budgets.answer, clock);
  } finally {
    enough.abort();
  }
}
