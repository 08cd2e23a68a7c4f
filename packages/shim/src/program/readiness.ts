import { closeSync, writeSync } from "node:fs";

/** The descriptor on which the serving process reports that it accepts connections. */
export const readyDescriptorVariable = "UVM_SHIM_READY_DESCRIPTOR";

/** Reports to `start` that the socket accepts; does nothing when somebody runs the serving mode by hand. */
export function reportReady(nodeProcess: NodeJS.Process): void {
  const descriptor = Number(nodeProcess.env[readyDescriptorVariable]);
  delete nodeProcess.env[readyDescriptorVariable];
  if (!Number.isInteger(descriptor) || descriptor < 3) return;
  try {
    writeSync(descriptor, "ready");
  } catch (error) {
    // `start` may have been killed; without clients the shim then exits on its own.
    if ((error as NodeJS.ErrnoException).code !== "EPIPE") throw error;
  } finally {
    closeSync(descriptor);
  }
}
