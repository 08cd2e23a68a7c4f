/** What a pod's callers notice of three other pods whose containers and callers misbehave. */
import { closeSync, constants, openSync } from "node:fs";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { mustRun } from "@uvm-shim/test-support/command";
import { TtrpcClient } from "@uvm-shim/ttrpc";
import { Task } from "../../shim-client/shim.ts";
import { processSpec } from "../../shim-client/spec.ts";
import { Caller, dial, shimSocket } from "./calls.ts";
import type { HostileTargets } from "./hostile.ts";
import { type Ratio, ratioOfTails } from "./ratio.ts";
import { type RunningPod, removePods, type Stand } from "./stand.ts";

const PROCESS_TYPE = "types.containerd.io/opencontainers/runtime-spec/1/Process";
const MEASURED_MS = 5_000;
const WARM_UP_MS = 1_000;
const SIGKILL = 9;

/** In one sandboxer: State of a pod beside three that are idle, and beside the same three when they misbehave. */
export async function compareFlood(stand: Stand): Promise<readonly Ratio[]> {
  const pods = [...(await stand.runPods("ours", 4))];
  try {
    const [quiet, loud, crowded, insulted] = pods as [RunningPod, RunningPod, RunningPod, RunningPod];
    using caller = await Caller.connect(stand, quiet);
    await caller.latencies("State", WARM_UP_MS);
    const idle = await caller.latencies("State", MEASURED_MS);
    const targets = { crowded: socketAndId(stand, crowded), insulted: socketAndId(stand, insulted) };
    const hostile = await misbehave(stand, loud, targets);
    const flooded = await caller.latencies("State", MEASURED_MS).finally(hostile.end);
    return [ratioOfTails("flood-state-p99", flooded, idle)];
  } finally {
    await removePods(pods);
  }
}

function socketAndId(stand: Stand, { container }: RunningPod) {
  return { socket: shimSocket(stand, container), id: container };
}

async function misbehave(stand: Stand, loud: RunningPod, targets: HostileTargets): Promise<{ end(): Promise<void> }> {
  const path = join(stand.directory, "unread");
  await mustRun("mkfifo", ["-m", "600", path]);
  // Open for reading, so that the writer can open it, and never read.
  const unread = openSync(path, constants.O_RDWR | constants.O_NONBLOCK);
  const id = loud.container;
  const client = new TtrpcClient(await dial(shimSocket(stand, id)));
  const execId = "flood";
  const spec = { type_url: PROCESS_TYPE, value: Buffer.from(JSON.stringify(processSpec({ args: ["yes"] }))) };
  await client.call(Task, "Exec", { id, execId, spec, stdout: path });
  await client.call(Task, "Start", { id, execId });
  // A thread of its own, since what it does is not to delay the caller that is measured.
  const worker = new Worker(new URL("./hostile.ts", import.meta.url), { workerData: targets });
  await new Promise<void>((resolve, reject) => worker.once("online", resolve).once("error", reject));
  return {
    end: async () => {
      await worker.terminate();
      await client.call(Task, "Kill", { id, execId, signal: SIGKILL });
      closeSync(unread);
      await client.call(Task, "Wait", { id, execId });
      await client.call(Task, "Delete", { id, execId });
      client.close();
    },
  };
}
