/** Node's timers fire at once when set to more than this, about 25 days. */
const longestTimer = 2 ** 31 - 1;

/**
 * Calls `elapsed` after the time in milliseconds, unless the returned function is called first. Not a `Clock`: a deadline
 * on the wire is one of time, which no slowness of this process extends, and an answered call leaves no promise behind.
 */
export function startTimer(milliseconds: number, elapsed: () => void): () => void {
  const arm = (left: number): NodeJS.Timeout =>
    left <= longestTimer
      ? setTimeout(elapsed, left)
      : setTimeout(() => {
          timer = arm(left - longestTimer);
        }, longestTimer);
  let timer = arm(milliseconds);
  return () => clearTimeout(timer);
}
