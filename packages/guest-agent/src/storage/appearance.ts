import { existsSync } from "node:fs";
import { delay } from "@uvm-shim/lifecycle";

/** How the guest waits for what the host attaches. */
export interface Polling {
  exists(path: string): boolean;
  pause(milliseconds: number, signal: AbortSignal): Promise<void>;
}

const pollMs = 10;
const polling: Polling = {
  exists: existsSync,
  pause: delay,
};

/**
 * Resolves when an attached disk or device has appeared. Like the real guest, it waits until the bridge ends.
 */
export async function waitForAppearance(
  path: string,
  signal: AbortSignal,
  { exists, pause }: Polling = polling,
): Promise<void> {
  while (!exists(path)) await pause(pollMs, signal);
}
