import { isGone, messageOf } from "@uvm-shim/lifecycle";
import type { GuestLogLine, VmProcess } from "./types.ts";

const sigkill = 9;

/**
 * Ends a process that no caller waits for: it is killed, and its stdio is closed, which ends it in most cases. A failed
 * kill and the end of the process are logged.
 */
export async function discardProcess(process: VmProcess, log: (line: GuestLogLine) => void): Promise<void> {
  const { pid } = process;
  const killing = process.signal(sigkill).catch((error: unknown) => {
    if (isGone(error)) return;
    const message = "cannot kill an abandoned process of the VM, closing its stdio";
    log({ level: "warn", message, fields: { pid, error: messageOf(error) } });
    const ended = (status: number): void =>
      log({ level: "info", message: "an abandoned process of the VM has ended", fields: { pid, status } });
    void process.wait().then(ended, () => {});
  });
  // Beside the kill, which a guest that hangs does not answer.
  await process.close();
  await killing;
}
