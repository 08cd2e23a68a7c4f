import { closeSync, writeSync } from "node:fs";

/** Names the descriptor on which the serving process says that it accepts connections. */
export const readyVariable = "UVM_SHIM_READY_DESCRIPTOR";

/** Tells `start` that the socket accepts; nothing to tell when the serving mode was run by hand. */
export function tellStart(host: NodeJS.Process): void {
  const descriptor = Number(host.env[readyVariable]);
  delete host.env[readyVariable];
  if (!Number.isInteger(descriptor) || descriptor < 3) return;
  try {
    writeSync(descriptor, "ready");
  } catch (error) {
    // A start that was killed meanwhile hears nothing; the shim ends by itself when nobody comes.
    if ((error as NodeJS.ErrnoException).code !== "EPIPE") throw error;
  } finally {
    closeSync(descriptor);
  }
}
