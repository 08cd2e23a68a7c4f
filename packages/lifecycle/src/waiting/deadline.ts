import type { Clock } from "./clock.ts";

/** How long work may take, and what else may end it. */
export interface Deadline {
  /** A `Clock`, or something else that measures the time. */
  readonly clock: { delay(milliseconds: number, signal: AbortSignal): Promise<void> };
  readonly milliseconds: number;
  /** The caller's own, which ends the work as well. */
  readonly signal?: AbortSignal | undefined;
  /** What the work's signal aborts with at the deadline; a TimeoutError that names the time when absent. */
  readonly error?: () => Error;
}

/**
 * Runs the work with a signal that aborts at the deadline, and when the caller's does. The answer is the work's own,
 * even when it comes late: nothing that it acquired gets lost here. Work that waits for something that may ignore the
 * signal waits with `abortable` or `acquireOrRelease`.
 */
export async function withDeadline<T>(
  work: (until: AbortSignal) => Promise<T>,
  { clock, milliseconds, signal, error = () => timeoutError(milliseconds) }: Deadline,
): Promise<T> {
  const expired = new AbortController();
  const finished = new AbortController();
  clock.delay(milliseconds, finished.signal).then(
    () => expired.abort(error()),
    () => {},
  );
  try {
    return await work(signal === undefined ? expired.signal : AbortSignal.any([signal, expired.signal]));
  } finally {
    finished.abort();
  }
}

function timeoutError(milliseconds: number): DOMException {
  return new DOMException(`not done within ${milliseconds} ms`, "TimeoutError");
}

/** Whether the promise settled within the time; it goes on either way, and its failure is not reported here. */
export async function settlesWithin(promise: Promise<unknown>, milliseconds: number, clock: Clock): Promise<boolean> {
  const stop = new AbortController();
  const settled = promise.then(
    () => true,
    () => true,
  );
  const expired = clock.delay(milliseconds, stop.signal).then(
    () => false,
    () => false,
  );
  try {
    return await Promise.race([settled, expired]);
  } finally {
    stop.abort();
  }
}
