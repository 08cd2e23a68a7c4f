import { isGone, messageOf } from "@uvm-shim/lifecycle";
import type { GuestLogLine, VmProcess } from "./types.ts";

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

/**
 * Ends a process that nobody waits for any more. Linux guests cannot kill one of the VM itself: it then ends by its
 * closed stdio, which is told, as is its end.
 */
export async function discardProcess(process: VmProcess, tell: (line: GuestLogLine) => void): Promise<void> {
  const { pid } = process;
  try {
    await process.signal(sigkill);
  } catch (error) {
    if (isGone(error)) return;
    const message = "a process of the VM that was given up could not be killed, and is left to its closed stdio";
    tell({ level: "warn", message, fields: { pid, error: messageOf(error) } });
    const ended = (status: number): void =>
      tell({ level: "info", message: "a process of the VM that was given up has ended", fields: { pid, status } });
    void process.wait().then(ended, () => {});
  } finally {
    await process.close();
  }
}
