/** What carrying a process's output to containerd's FIFO costs. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, startCommand } from "@uvm-shim/test-support/command";
import type { Containerd } from "../e2e/containerd.ts";
import { IMAGE } from "../e2e/images.ts";
import type { Runtime } from "../e2e/suite.ts";
import { readProcesses } from "../leaks/holdings.ts";
import { SERVERS } from "../support/servers.ts";

export interface OutputCost {
  readonly mebibytesPerSecond: number;
  /** Of all the processes that carry it, but containerd's client and the container itself. */
  readonly cpuSeconds: number;
}

const MEBIBYTES = 1024;
const READY_MS = 30_000;
const CLOCK_TICKS_PER_SECOND = 100;
/** Command lines of the processes that carry output. */
const CARRIERS: { readonly [runtime in Runtime["key"]]: readonly RegExp[] } = {
  lcow: Object.values(SERVERS),
  runc: [/shim-runc-v2/],
};

/** Has an exec write 1 GiB to its standard output, which ctr reads from the FIFO and gives away. */
export async function measureOutput(
  containerd: Containerd,
  runtime: Runtime,
  id: string,
  signal: AbortSignal,
): Promise<OutputCost> {
  await containerd.mustCtr(["run", "--detach", "--runtime", runtime.name, IMAGE, id, "sleep", "1000"], { signal });
  try {
    // It waits for a signal, so that the transfer is measured and not the start.
    const script = `echo ready >&2; read go; exec dd if=/dev/zero bs=1M count=${MEBIBYTES}`;
    const line = containerd.ctrLine(["task", "exec", "--exec-id", "writer", id, "sh", "-c", script]);
    const { environment } = containerd;
    const writer = startCommand("sh", ["-c", `exec ${line} 3>&1 >/dev/null 2>&3`], { environment, signal });
    await writer.outputMatches(/ready/, READY_MS);
    const carriers = readProcesses().filter(({ command }) => CARRIERS[runtime.key].some((one) => one.test(command)));
    const cpuBefore = carriers.map(({ pid }) => cpuSecondsOf(pid));
    const started = performance.now();
    writer.write("go\n");
    const result = await writer.finished;
    if (result.status !== 0) throw new Error(describe(result));
    const seconds = (performance.now() - started) / 1000;
    const cpu = carriers.map(({ pid }, index) => cpuSecondsOf(pid) - (cpuBefore[index] ?? 0));
    return { mebibytesPerSecond: MEBIBYTES / seconds, cpuSeconds: cpu.reduce((sum, value) => sum + value, 0) };
  } finally {
    await containerd.ctr(["task", "delete", "--force", id]);
    await containerd.mustCtr(["container", "delete", id]);
  }
}

/** Time in user and kernel mode (proc(5), fields 14 and 15); the name before them may hold blanks. */
function cpuSecondsOf(pid: number): number {
  const stat = readFileSync(join("/proc", String(pid), "stat"), "latin1");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / CLOCK_TICKS_PER_SECOND;
}
