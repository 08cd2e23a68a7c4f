import { existsSync } from "node:fs";
// A pause between two looks, not a deadline: it wakes this process once, where a `Clock` does so in steps.
import { setTimeout as delay } from "node:timers/promises";

export interface Polling {
  exists(path: string): boolean;
  pause(milliseconds: number, signal: AbortSignal): Promise<void>;
}

const pollMs = 10;
const polling: Polling = {
  exists: existsSync,
  pause: (milliseconds, signal) => delay(milliseconds, undefined, { signal }),
};

/**
 * Resolves when an attached disk or device has appeared. Like the reference's guest, it waits until the bridge ends.
 */
export async function waitForAppearance(
  path: string,
  signal: AbortSignal,
  { exists, pause }: Polling = polling,
): Promise<void> {
  while (!exists(path)) await pause(pollMs, signal);
}
