/** Much at once, on a machine that has no processor to spare. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { availableParallelism } from "node:os";

/** What a node has when it is drained; and less, which takes a suite seconds. */
export const CROWD =
  process.env.UVM_SHIM_CROWD === "full" ? { pods: 30, containers: 200 } : { pods: 4, containers: 20 };

/** Does some work while other processes want every processor, and are preferred. */
export async function besideBusyProcesses(work: () => Promise<void>): Promise<void> {
  const busy: ChildProcess[] = [];
  try {
    for (let count = 0; count < availableParallelism(); count++) {
      busy.push(spawn("nice", ["-n", "-5", "busybox", "sh", "-c", "while :; do :; done"], { stdio: "ignore" }));
    }
    await work();
  } finally {
    const ended = busy.map((child) => once(child, "exit"));
    for (const child of busy) child.kill("SIGKILL");
    await Promise.all(ended);
  }
}
