import type { VmProcess } from "./types.ts";

const sigkill = 9;

/**
 * Waits for something to be acquired, but leaves as soon as the signal aborts, whether or not the one who was asked
 * heeds the signal. What arrives after that is given back at once.
 */
export function acquire<T>(promise: Promise<T>, signal: AbortSignal, giveBack: (late: T) => Promise<void>): Promise<T> {
  return new Promise((resolve, reject) => {
    let left = false;
    const leave = (): void => {
      left = true;
      reject(signal.reason);
    };
    if (signal.aborted) leave();
    else signal.addEventListener("abort", leave, { once: true });
    promise.then(
      (value) => {
        signal.removeEventListener("abort", leave);
        if (!left) resolve(value);
        // Nobody is left who could be told that this failed.
        else giveBack(value).catch(() => {});
      },
      (error: unknown) => {
        signal.removeEventListener("abort", leave);
        reject(error);
      },
    );
  });
}

/** Ends a process that nobody waits for any more. */
export async function discardProcess(process: VmProcess): Promise<void> {
  try {
    await process.signal(sigkill);
  } finally {
    await process.close();
  }
}
