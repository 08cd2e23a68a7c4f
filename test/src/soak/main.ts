/**
 * `npm run soak [-- --execs 2000 --containers 200]`: a pod that lives long, and then a sandboxer, for a minute. Runs that
 * many processes and containers in the pod through the shim that ships, and prints what the pod holds before the first, on
 * the way and at the end. Its exit code says whether that is flat. `npm run soak -- --sandboxer [--pods 2000 --at-once 20
 * --seconds 600]`: the sandboxer alone, for long.
 */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { isDeepStrictEqual, parseArgs } from "node:util";
import { hostVariables } from "@uvm-shim/host-protocol";
import { layersMount, makeLayer, makeScratch } from "@uvm-shim/test-support/layers";
import { makeRootfs } from "@uvm-shim/test-support/rootfs";
import { describeCounts, type TestCounts } from "../../../tools/counts.ts";
import { checkMachine } from "../e2e/machine.ts";
import { RUNTIMES } from "../e2e/suite.ts";
import { type Mount, Pod, type PodContainer, readOnlyRoot } from "../shim-client/pod.ts";
import { Task } from "../shim-client/shim.ts";
import { processSpec } from "../shim-client/spec.ts";
import { type Isolation, runSuite } from "../support/isolate.ts";
import { findServers } from "../support/servers.ts";
import { poll } from "../support/wait.ts";
import { countThings, type Figure, growthOf, MOMENTS, measureMemory, type Soaked, showFigures } from "./figures.ts";
import { type SandboxerAmount, soakSandboxer } from "./sandboxer.ts";
import { ReportingShim } from "./shim-heap.ts";
import { ReusedStdio } from "./stdio.ts";

/** How many processes, or containers, run at the same time. */
const WORKERS = 4;
/** How long things may still be held that are released after their request was answered. */
const SETTLE_MS = 10_000;
/** A fresh pod has come to rest when it holds the same as this long before. */
const REST_MS = 500;
const PROCESS_TYPE = "types.containerd.io/opencontainers/runtime-spec/1/Process";
const HOST_ENVIRONMENT = { [hostVariables.idleMs]: "600000" };

interface Soak {
  readonly pod: Pod;
  /** The folder of all disks. */
  readonly disks: string;
  /** A directory that the container in which processes run shares. */
  readonly shared: string;
  /** Root file system of the container in which processes run. */
  readonly hostRoot: readonly Mount[];
  /** Root file systems of the others, one a worker: shared directories and layers by turns. */
  readonly roots: readonly (readonly Mount[])[];
  readonly stdio: readonly ReusedStdio[];
  readonly signal: AbortSignal;
  count: number;
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

interface SoakArguments {
  readonly execs: number;
  readonly containers: number;
  readonly sandboxer: SandboxerAmount;
  /** Whether there is to be no soak of a single pod. */
  readonly isOnlySandboxer: boolean;
}

/** What fits beside the soak of a pod, and what tells more. */
const SHORT = { pods: 40, atOnce: 20, seconds: 8 } as const satisfies SandboxerAmount;
const LONG = { pods: 2000, atOnce: 20, seconds: 600 } as const satisfies SandboxerAmount;

function readArguments(): SoakArguments {
  const text = { type: "string" } as const;
  const { values } = parseArgs({
    options: {
      ...{ execs: { ...text, default: "2000" }, containers: { ...text, default: "200" } },
      ...{ sandboxer: { type: "boolean", default: false }, pods: text, "at-once": text, seconds: text },
    },
  });
  const usual = values.sandboxer ? LONG : SHORT;
  const read = (name: string, value: string | number, least: number): number => {
    const number = Number(value);
    if (!Number.isInteger(number) || number < least)
      throw new Error(`invalid --${name} ${value}: expected a whole number of at least ${least}`);
    return number;
  };
  return {
    execs: read("execs", values.execs, WORKERS),
    containers: read("containers", values.containers, WORKERS),
    sandboxer: {
      pods: read("pods", values.pods ?? usual.pods, 0),
      atOnce: read("at-once", values["at-once"] ?? usual.atOnce, 1),
      seconds: read("seconds", values.seconds ?? usual.seconds, 0),
    },
    isOnlySandboxer: values.sandboxer,
  };
}

/** Does the work this number of times, with all workers. */
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

/** A container that holds disks and a share all the time, and in which the processes run. */
async function startHost(soak: Soak): Promise<PodContainer> {
  const mount = { destination: "/shared", type: "bind", source: soak.shared, options: ["rbind", "ro"] };
  const host = await soak.pod.createContainer({
    ...{ id: "host", args: ["sleep", "100000"], rootfs: soak.hostRoot },
    change: (specification) => ({ ...specification, mounts: [...specification.mounts, mount] }),
  });
  await host.start();
  return host;
}

async function run(soak: Soak, reporting: ReportingShim, amount: SoakArguments): Promise<Soaked> {
  const { disks, signal } = soak;
  const host = await startHost(soak);
  const servers = findServers();
  let last: readonly Figure[] = [];
  const atRest = (): readonly Figure[] | undefined => {
    const before = last;
    last = countThings(servers, disks);
    return isDeepStrictEqual(before, last) ? last : undefined;
  };
  const fresh = await poll("the pod to rest", atRest, { timeoutMs: SETTLE_MS, intervalMs: REST_MS, signal });
  const settled = async (): Promise<readonly Figure[]> => {
    const isFresh = (): true | undefined => isDeepStrictEqual(countThings(servers, disks), fresh) || undefined;
    // What is held for longer shows in the figures.
    await poll("the pod to settle", isFresh, { timeoutMs: SETTLE_MS, signal }).catch(() => signal.throwIfAborted());
    // Before the heap is asked for, by connections of the shim's.
    const counts = countThings(servers, disks);
    return [...(await measureMemory(servers, reporting, done === MOMENTS.end)), ...counts];
  };
  let done = 0;
  const until = async (part: number): Promise<readonly Figure[]> => {
    const share = (all: number): number => Math.round(all * part) - Math.round(all * done);
    await repeat(share(amount.execs), (worker) => execOnce(soak, host, worker));
    await repeat(share(amount.containers), (worker) => containerOnce(soak, worker));
    done = part;
    return await settled();
  };
  const soaked = {
    fresh: await until(MOMENTS.fresh),
    start: await until(MOMENTS.start),
    middle: await until(MOMENTS.middle),
    end: await until(MOMENTS.end),
  };
  await host.kill(9);
  await host.wait();
  await host.delete();
  return soaked;
}

async function inside({ directory, signal }: Isolation): Promise<number> {
  const amount = readArguments();
  const rootfs = join(directory, "rootfs");
  mkdirSync(rootfs);
  await makeRootfs(rootfs);
  const ofPod = amount.isOnlySandboxer
    ? { passed: 0, failed: 0 }
    : await soakPod({ directory, signal }, rootfs, amount);
  const folder = join(directory, "many");
  mkdirSync(folder);
  const ofSandboxer = await soakSandboxer({ directory: folder, rootfs, signal, print }, amount.sandboxer);
  const failed = ofPod.failed + ofSandboxer.failed;
  print(describeCounts({ passed: ofPod.passed + ofSandboxer.passed, failed }));
  return failed === 0 ? 0 : 1;
}

async function soakPod({ directory, signal }: Isolation, rootfs: string, amount: SoakArguments): Promise<TestCounts> {
  const disks = join(directory, "disks");
  const shared = join(directory, "shared");
  const podDirectory = join(directory, "pod");
  const shimDirectory = join(directory, "shim");
  for (const folder of [disks, shared, podDirectory]) mkdirSync(folder);
  mkdirSync(shimDirectory, { mode: 0o700 });
  const reporting = new ReportingShim(shimDirectory);
  const layer = await makeLayer(join(disks, "layer"), rootfs);
  const onDisks = async (name: string): Promise<readonly Mount[]> => [
    layersMount(await makeScratch(join(disks, name)), [layer]),
  ];
  const roots: (readonly Mount[])[] = [];
  const stdio: ReusedStdio[] = [];
  for (let worker = 0; worker < WORKERS; worker += 1) {
    const directoryRoot = readOnlyRoot(rootfs);
    roots.push(worker % 2 === 0 ? directoryRoot : await onDisks(`scratch-${worker}`));
    stdio.push(await ReusedStdio.make(directory, `stdio-${worker}`));
  }
  const hostRoot = await onDisks("scratch-host");
  const pod = await Pod.run({
    ...{ executable: reporting.executable, directory: podDirectory, id: "pod", signal },
    environment: { ...HOST_ENVIRONMENT, ...reporting.environment },
  });
  try {
    const started = performance.now();
    const soaked = await run({ pod, disks, shared, hostRoot, roots, stdio, signal, count: 0 }, reporting, amount);
    const seconds = (performance.now() - started) / 1000;
    await pod.remove();
    print(`${amount.execs} execs and ${amount.containers} containers in one pod, in ${seconds.toFixed(0)} s`);
    print("");
    print(showFigures(soaked));
    print("");
    const growth = growthOf(soaked);
    for (const line of growth) print(`not flat: ${line}`);
    return { passed: soaked.end.length - growth.length, failed: growth.length };
  } finally {
    await pod.abandon();
  }
}

// After a failure, programs that hold FIFOs may still wait for a process that will not come.
await runSuite("soak", import.meta.url, inside, () => {
  readArguments();
  checkMachine(RUNTIMES.lcow);
});
