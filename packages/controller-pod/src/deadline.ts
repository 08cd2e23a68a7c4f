import type { PodClock } from "./types.ts";

/** Runs with a signal that aborts, with the error given, when so many milliseconds have passed. */
export async function withDeadline<T>(
  run: (deadline: AbortSignal) => Promise<T>,
  milliseconds: number,
  clock: PodClock,
  error: () => Error,
): Promise<T> {
  const deadline = new AbortController();
  const done = new AbortController();
  clock.delay(milliseconds, done.signal).then(
    () => deadline.abort(error()),
    () => {},
  );
  try {
    return await run(deadline.signal);
  } finally {
    done.abort();
  }
}
