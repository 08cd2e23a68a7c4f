import { isGone, messageOf } from "@uvm-shim/lifecycle";
import type { GuestLogLine, VmProcess } from "./types.ts";

const sigkill = 9;

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
    const message = "cannot kill an abandoned process of the VM, closing its stdio";
    tell({ level: "warn", message, fields: { pid, error: messageOf(error) } });
    const ended = (status: number): void =>
      tell({ level: "info", message: "an abandoned process of the VM has ended", fields: { pid, status } });
    void process.wait().then(ended, () => {});
  } finally {
    await process.close();
  }
}
