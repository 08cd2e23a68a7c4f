import { delay } from "@uvm-shim/lifecycle";
import type { VmCgroups } from "./cgroups.ts";

const pollMs = 5;

/** Ends all processes in the cgroups of a VM that a killed host has left, and removes the cgroups. */
export async function removeLeftProcesses(cgroups: VmCgroups, timeoutMs: number): Promise<void> {
  cgroups.thaw();
  const deadline = performance.now() + timeoutMs;
  for (let pids = cgroups.processes(); pids.length > 0 && performance.now() < deadline; pids = cgroups.processes()) {
    for (const pid of pids) killIfAlive(pid);
    await delay(pollMs);
  }
  await cgroups.remove(timeoutMs);
}

/** Sends SIGKILL; does nothing for a process that has ended and was reaped. */
export function killIfAlive(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}
