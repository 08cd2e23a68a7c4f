/** Node's timers fire at once when set to more than this, about 25 days. */
const longestTimer = 2 ** 31 - 1;

/** Calls `elapsed` after the time, unless the returned function is called first. */
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
