import { delay } from "@uvm-shim/lifecycle";

const pollMs = 10;

/**
 * Resolves to what is found of a disk or device that the host attaches, when it has appeared. Like the real guest, it waits
 * until the bridge ends.
 */
export async function waitForAppearance<Found>(
  find: () => Found | undefined,
  signal: AbortSignal,
  pause: (milliseconds: number, signal: AbortSignal) => Promise<void> = delay,
): Promise<Found> {
  for (;;) {
    const found = find();
    if (found !== undefined) return found;
    await pause(pollMs, signal);
  }
}
