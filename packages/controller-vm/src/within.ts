import type { VmClock } from "./types.ts";

/** Runs the work with a signal that aborts after so many milliseconds. */
export async function within<T>(
  clock: VmClock,
  milliseconds: number,
  work: (bound: AbortSignal) => Promise<T>,
): Promise<T> {
  const bound = new AbortController();
  const finished = new AbortController();
  clock.delay(milliseconds, finished.signal).then(
    () => bound.abort(new DOMException(`not done within ${milliseconds} ms`, "TimeoutError")),
    () => {},
  );
  try {
    return await work(bound.signal);
  } finally {
    finished.abort();
  }
}
