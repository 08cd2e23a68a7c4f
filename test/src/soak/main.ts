/**
 * `npm run soak [-- --execs 2000 --containers 200]`: a pod that lives long. Runs that many processes and containers in
 * it through the shim that ships, and prints what the pod holds after the first tenth of them and at the end. Its exit
 * code says whether nothing has grown.
 */
import { constants, mkdirSync, openSync } from "node:fs";
import { Socket } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";
import { checkMachine } from "../e2e/machine.ts";
import { RUNTIMES } from "../e2e/suite.ts";
import { type Mount, Pod, type PodContainer } from "../shim-client/pod.ts";
import { Task } from "../shim-client/shim.ts";
import { processSpec } from "../shim-client/spec.ts";
import { mustRun } from "../support/command.ts";
import { type Isolation, isolation, runIsolated } from "../support/isolate.ts";
import { layersMount, makeLayer, makeScratch } from "../support/layers.ts";
import { SHIM } from "../support/programs.ts";
import { makeRootfs } from "../support/rootfs.ts";
import {
  DISKS_FOLDER,
  type Figure,
  findServers,
  growthOf,
  parseHeap,
  type ShimHeap,
  showFigures,
  takeFigures,
} from "./figures.ts";
import { ReusedStdio } from "./stdio.ts";

/** Of processes, and of containers, at the same time. */
const WORKERS = 4;
/** The part that fills caches, and what is made once, before the start figures are taken. */
const WARM_UP = 0.1;
const HEAP_MS = 10_000;
const SETTLE_MS = 500;
const PROCESS_TYPE = "types.containerd.io/opencontainers/runtime-spec/1/Process";
const HOST_ENVIRONMENT = { UVM_SHIM_HOST_IDLE_MS: "600000" };

interface Soak {
  readonly pod: Pod;
  readonly directory: string;
  /** Root file systems, one a worker: shared directories and layers by turns. */
  readonly roots: readonly (readonly Mount[])[];
  readonly stdio: readonly ReusedStdio[];
  readonly signal: AbortSignal;
  readonly heap: () => Promise<ShimHeap>;
  count: number;
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

function readArguments(): { readonly execs: number; readonly containers: number } {
  const { values } = parseArgs({
    options: { execs: { type: "string", default: "2000" }, containers: { type: "string", default: "200" } },
  });
  const [execs, containers] = [values.execs, values.containers].map(Number) as [number, number];
  for (const [name, number] of Object.entries({ execs, containers })) {
    if (!Number.isInteger(number) || number < WORKERS) throw new Error(`--${name}: a whole number from ${WORKERS}`);
  }
  return { execs, containers };
}

/** Does some work so often, by as many workers. */
async function repeat(times: number, work: (worker: number) => Promise<void>): Promise<void> {
  let left = times;
  const workers = Array.from({ length: WORKERS }, async (_, worker) => {
    while (left > 0) {
      left -= 1;
      await work(worker);
    }
  });
  await Promise.all(workers);
}

async function execOnce(soak: Soak, container: PodContainer, worker: number): Promise<void> {
  soak.count += 1;
  const execId = `exec-${soak.count}`;
  const { shim } = soak.pod;
  const stdio = soak.stdio[worker] as ReusedStdio;
  const call = { id: container.id, execId };
  const output = stdio.read();
  const args = ["sh", "-c", `echo ${execId}; echo problem >&2; exit 3`];
  const spec = { type_url: PROCESS_TYPE, value: Buffer.from(JSON.stringify(processSpec({ args }))) };
  const { signal } = soak;
  await shim.call(Task, "Exec", { ...call, spec, ...stdio.paths }, { signal });
  await shim.call(Task, "Start", call, { signal });
  const { exitStatus } = await shim.call(Task, "Wait", call, { signal });
  await shim.call(Task, "Delete", call, { signal });
  const { stdout, stderr } = await output;
  if (exitStatus !== 3 || stdout !== `${execId}\n` || stderr !== "problem\n") {
    throw new Error(`${execId} ended with ${exitStatus}, and wrote ${JSON.stringify({ stdout, stderr })}`);
  }
}

async function containerOnce(soak: Soak, worker: number): Promise<void> {
  soak.count += 1;
  const id = `container-${soak.count}`;
  const rootfs = soak.roots[worker] as readonly Mount[];
  const container = await soak.pod.createContainer({ id, args: ["sh", "-c", "echo up; exit 5"], rootfs });
  await container.start();
  const [output, status] = await Promise.all([container.stdio.output(), container.wait()]);
  await container.delete();
  if (status !== 5 || output.stdout.toString() !== "up\n")
    throw new Error(`${id} ended with ${status}: ${output.stderr}`);
}

async function run(
  soak: Soak,
  execs: number,
  containers: number,
): Promise<readonly [readonly Figure[], readonly Figure[]]> {
  const host = await soak.pod.createContainer({
    ...{ id: "host", args: ["sleep", "100000"], rootfs: soak.roots[0] as readonly Mount[] },
  });
  await host.start();
  const round = async (part: number): Promise<readonly Figure[]> => {
    await repeat(Math.ceil(execs * part), (worker) => execOnce(soak, host, worker));
    await repeat(Math.ceil(containers * part), (worker) => containerOnce(soak, worker));
    // What was answered before it was all given back.
    await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
    return takeFigures(findServers(), await soak.heap());
  };
  try {
    const before = await round(WARM_UP);
    const after = await round(1 - WARM_UP);
    await host.kill(9);
    await host.wait();
    await host.delete();
    return [before, after];
  } finally {
    host.stdio.close();
  }
}

/** Asks the shim for its heap, which it tells in its log. */
async function heapTeller(pod: Pod, bundle: string): Promise<{ heap: () => Promise<ShimHeap>; close: () => void }> {
  const log = join(bundle, "log");
  await mustRun("mkfifo", ["-m", "600", log]);
  const socket = new Socket({
    fd: openSync(log, constants.O_RDONLY | constants.O_NONBLOCK),
    readable: true,
    writable: false,
  });
  let told: (heap: ShimHeap) => void = () => undefined;
  createInterface(socket).on("line", (line) => {
    const heap = parseHeap(line);
    if (heap !== undefined) told(heap);
  });
  const heap = async (): Promise<ShimHeap> => {
    const answer = new Promise<ShimHeap>((resolve, reject) => {
      told = resolve;
      setTimeout(() => reject(new Error(`the shim has not told its heap within ${HEAP_MS} ms`)), HEAP_MS).unref();
    });
    process.kill(await pod.shimPid(), "SIGUSR2");
    return await answer;
  };
  return { heap, close: () => void socket.destroy() };
}

async function inside({ directory, signal }: Isolation): Promise<number> {
  const { execs, containers } = readArguments();
  const rootfs = join(directory, "rootfs");
  const disks = join(directory, DISKS_FOLDER);
  const podDirectory = join(directory, "pod");
  for (const folder of [rootfs, disks, podDirectory]) mkdirSync(folder);
  await makeRootfs(rootfs);
  const layer = await makeLayer(join(disks, "layer"), rootfs);
  const roots: (readonly Mount[])[] = [];
  const stdio: ReusedStdio[] = [];
  for (let worker = 0; worker < WORKERS; worker += 1) {
    const scratch = await makeScratch(join(disks, `scratch-${worker}`));
    roots.push(
      worker % 2 === 0 ? [{ type: "bind", source: rootfs, options: ["rbind", "ro"] }] : [layersMount(scratch, [layer])],
    );
    stdio.push(await ReusedStdio.make(directory, `stdio-${worker}`));
  }
  const pod = await Pod.run({
    ...{ executable: SHIM, directory: podDirectory, id: "pod", environment: HOST_ENVIRONMENT, signal },
  });
  try {
    const teller = await heapTeller(pod, join(podDirectory, "pod"));
    const soak: Soak = { pod, directory, roots, stdio, signal, heap: teller.heap, count: 0 };
    const started = performance.now();
    const [before, after] = await run(soak, execs, containers);
    teller.close();
    await pod.remove();
    const seconds = (performance.now() - started) / 1000;
    print(`${execs} execs and ${containers} containers in one pod, in ${seconds.toFixed(0)} s`);
    print("");
    print(showFigures(before, after));
    const growth = growthOf(before, after);
    print("");
    for (const line of growth) print(`leak: ${line}`);
    print(growth.length === 0 ? "flat" : `${growth.length} figures have grown`);
    return growth.length === 0 ? 0 : 1;
  } finally {
    await pod.abandon();
  }
}

async function main(): Promise<number> {
  const isolated = isolation();
  if (isolated !== undefined) return await inside(isolated);
  readArguments();
  checkMachine(RUNTIMES.lcow);
  return await runIsolated(import.meta.url, process.argv.slice(2), { inMemory: true });
}

try {
  process.exitCode = await main();
} catch (error) {
  process.stderr.write(`soak: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
  process.exitCode = 1;
}
// After a failure, programs that hold FIFOs may still wait for a process that will not come.
process.exit();
