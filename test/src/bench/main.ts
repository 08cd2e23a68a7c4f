/**
 * `npm run bench [-- --pairs 10 --json <file> --only <pattern> --against <folder>]`: what a pod in an emulated utility VM
 * costs, as ratios against containerd's own runc shim, measured in the same run on the same containerd; and whether a
 * controller's own cost of an operation grows with the number of what it controls. `--only` is the name of a part, of one
 * of the ratios that the run ends with, or `ratios` for all of those. `--against` names the `dist/linux-x64` of another
 * commit, whose phases of a pod are measured in turns with this one's. With `--vm` it is only what a pod in a virtual
 * machine takes, beside a plain QEMU that boots the same files.
 */
import { cpSync, existsSync, mkdirSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { hostVariables } from "@uvm-shim/host-protocol";
import { messageOf } from "@uvm-shim/lifecycle";
import { type ContainerdBuild, findContainerds, WANTED } from "../debian/containerds.ts";
import { Containerd } from "../e2e/containerd.ts";
import { IMAGE, type Images, makeImages } from "../e2e/images.ts";
import { checkMachine, servingShims } from "../e2e/machine.ts";
import { RUNTIMES, type Runtime } from "../e2e/suite.ts";
import { type Isolation, isolation, runIsolated } from "../support/isolate.ts";
import { proportionalSetSize } from "../support/memory.ts";
import { DISTRIBUTION, SHIM_PROGRAM, WINDOWS_SHIM_PROGRAM } from "../support/programs.ts";
import { type Growth, greatestRatio, measureGrowth } from "./growth.ts";
import { growthSubjects } from "./growth-subjects.ts";
import { measureOutput, type OutputCost } from "./output.ts";
import { measurePhases, type PhaseDurations, phasesOnce } from "./phases.ts";
import { measurePods, type PodCost } from "./pod-cost.ts";
import { measureRatios } from "./ratios/measure.ts";
import type { RatioName, RatioResults } from "./ratios/ratio.ts";
import { type Comparison, type Results, show } from "./results.ts";
import { info, startUp } from "./start-up.ts";
import { interleave, median, medianRatio } from "./statistics.ts";
import { measureTelemetry } from "./telemetry.ts";
import { benchVm } from "./vm.ts";

const LEAST_PAIRS = 10;
/** Of the measurements that take seconds each. */
const OUTPUT_PAIRS = 5;
/** Each boots two machines, which takes half a minute where they are translated. */
const VM_PAIRS = 3;
/** Longer than the benchmark: the emulated host keeps running, as the real host's services do. */
const HOST_ENVIRONMENT = { [hostVariables.idleMs]: "600000" };

interface Bench {
  readonly containerd: Containerd;
  readonly images: Images;
  readonly shim: string;
  /** The shim of another commit. */
  readonly otherShim: string | undefined;
  readonly directory: string;
  readonly signal: AbortSignal;
  count: number;
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

function readArguments() {
  const { values } = parseArgs({
    options: {
      pairs: { type: "string" },
      json: { type: "string" },
      only: { type: "string", default: "" },
      against: { type: "string" },
      vm: { type: "boolean", default: false },
    },
  });
  const { pairs: given = `${values.vm ? VM_PAIRS : LEAST_PAIRS}` } = values;
  const pairs = Number(given);
  const least = values.only === "" && !values.vm ? LEAST_PAIRS : 1;
  if (!Number.isInteger(pairs) || pairs < least) {
    throw new Error(
      `--pairs ${given}: it is a whole number from ${least}, for the medians to mean something; with --only or --vm from 1`,
    );
  }
  const { json, only, against, vm } = values;
  if (against !== undefined && !existsSync(join(against, SHIM_PROGRAM))) {
    throw new Error(`--against ${against}: expected a folder that contains ${SHIM_PROGRAM}`);
  }
  return {
    pairs,
    json,
    vm,
    only: new RegExp(`^(?:${only === "" ? ".*" : only})$`),
    against: against === undefined ? undefined : resolve(against),
  };
}

/** Milliseconds of `ctr run --rm … true`. */
async function runOnce(bench: Bench, runtime: Runtime): Promise<number> {
  bench.count += 1;
  const started = performance.now();
  const args = ["run", "--rm", "--runtime", runtime.name, IMAGE, `run-${bench.count}`, "true"];
  await bench.containerd.mustCtr(args, { signal: bench.signal });
  return performance.now() - started;
}

/** Throughput and CPU time of an exec's output, for as many pairs. */
async function compareOutput(bench: Bench, pairs: number): Promise<readonly Comparison[]> {
  const measure = (runtime: Runtime) => {
    bench.count += 1;
    return measureOutput(bench.containerd, runtime, `output-${bench.count}`, bench.signal);
  };
  const { ours, peers } = await interleave(
    pairs,
    () => measure(RUNTIMES.lcow),
    () => measure(RUNTIMES.runc),
  );
  const row = (what: string, unit: string, of: (cost: OutputCost) => number): Comparison => {
    const [left, right] = [ours.map(of), peers.map(of)];
    return { what, unit, ours: median(left), peers: median(right), ratio: medianRatio(left, right) };
  };
  return [
    row("output of 1 GiB", "MiB/s", ({ mebibytesPerSecond }) => mebibytesPerSecond),
    row("CPU time for that", "s", ({ cpuSeconds }) => cpuSeconds),
  ];
}

/** The serving shim's share of memory, in MiB, while its container idles. */
async function shimMemory(bench: Bench, runtime: Runtime): Promise<number> {
  bench.count += 1;
  const id = `idle-${bench.count}`;
  const { containerd, signal } = bench;
  await containerd.mustCtr(["run", "--detach", "--runtime", runtime.name, IMAGE, id, "sleep", "1000"], { signal });
  try {
    const pids = servingShims(runtime, id);
    if (pids.length !== 1) throw new Error(`${pids.length} processes serve ${id}`);
    return proportionalSetSize(pids[0] as number);
  } finally {
    await containerd.ctr(["task", "delete", "--force", id]);
    await containerd.mustCtr(["container", "delete", id]);
  }
}

async function compareFlavours(bench: Bench, pairs: number): Promise<readonly Comparison[]> {
  const windows = join(dirname(bench.shim), WINDOWS_SHIM_PROGRAM);
  const compare = async (what: string, one: (executable: string) => Promise<number>): Promise<Comparison> => {
    for (const executable of [windows, bench.shim]) await one(executable);
    const { ours, peers } = await interleave(
      pairs,
      () => one(windows),
      () => one(bench.shim),
    );
    const ratio = medianRatio(ours, peers);
    return { what, unit: "ms", ours: median(ours), peers: median(peers), ratio };
  };
  return [
    await compare("-info", info),
    await compare("start, until it answers", (executable) => {
      bench.count += 1;
      return startUp(executable, join(bench.directory, `start-${bench.count}`), bench.signal);
    }),
  ];
}

async function compareTelemetry(bench: Bench, pairs: number): Promise<readonly Comparison[]> {
  const run = (): Promise<number> => runOnce(bench, RUNTIMES.lcow);
  const { on, off } = await measureTelemetry(pairs, telemetryFile(bench.directory), run);
  return [
    { what: "ctr run --rm … true", unit: "ms", ours: median(on), peers: median(off), ratio: medianRatio(on, off) },
  ];
}

function telemetryFile(directory: string): string {
  return join(directory, "telemetry.env");
}

async function measure(bench: Bench, pairs: number, only: RegExp): Promise<Results> {
  const { lcow, runc } = RUNTIMES;
  const compare = async (
    what: string,
    unit: string,
    one: (runtime: Runtime) => Promise<number>,
  ): Promise<Comparison> => {
    const values = await interleave(
      pairs,
      () => one(lcow),
      () => one(runc),
    );
    const ratio = medianRatio(values.ours, values.peers);
    return { what, unit, ours: median(values.ours), peers: median(values.peers), ratio };
  };
  // The first runs start the emulated host and fill caches.
  for (const runtime of [lcow, runc]) await runOnce(bench, runtime);
  const subjects: { readonly [name: string]: () => Promise<readonly Comparison[]> } = {
    run: async () => [await compare("ctr run --rm … true", "ms", (runtime) => runOnce(bench, runtime))],
    memory: async () => [await compare("PSS of the serving shim", "MiB", (runtime) => shimMemory(bench, runtime))],
    output: () => compareOutput(bench, Math.min(pairs, OUTPUT_PAIRS)),
  };
  const comparisons: Comparison[] = [];
  for (const [name, subject] of Object.entries(subjects)) if (only.test(name)) comparisons.push(...(await subject()));
  const growths = only.test("growth") ? await measureGrowths() : [];
  const pods = only.test("pods") ? await measureCri(bench) : [];
  const flavours = only.test("flavours") ? await compareFlavours(bench, pairs) : [];
  const telemetry = only.test("telemetry") ? await compareTelemetry(bench, pairs) : [];
  const ratios = await compareAll(bench, pairs, (name) => only.test("ratios") || only.test(name));
  const results = {
    containerd: bench.containerd.build.version,
    pairs,
    comparisons,
    flavours,
    telemetry,
    growths,
    pods,
    ratios,
  };
  if (!only.test("phases")) return results;
  return { ...results, ...(await measurePhases((shim) => runPod(bench, shim), bench, pairs)) };
}

async function runPod(bench: Bench, executable: string): Promise<PhaseDurations> {
  bench.count += 1;
  const directory = join(bench.directory, `pod-${bench.count}`);
  mkdirSync(directory);
  const { images, signal } = bench;
  return await phasesOnce({ executable, directory, environment: HOST_ENVIRONMENT, signal }, images.rootfs);
}

/** On a containerd of its own, since that of the others does not serve CRI. */
async function measureCri({
  containerd: { build },
  directory,
  shim,
  images,
  signal,
}: Bench): Promise<readonly PodCost[]> {
  const options = { build, directory: join(directory, "cri"), shims: dirname(shim), environment: HOST_ENVIRONMENT };
  return await measurePods(options, images, signal);
}

/** On containerds of their own, whose pods a sandboxer serves. */
async function compareAll(bench: Bench, pairs: number, wants: (name: RatioName) => boolean): Promise<RatioResults> {
  const { containerd, shim, images, signal } = bench;
  const directory = join(bench.directory, "r");
  mkdirSync(directory);
  const options = { build: containerd.build, directory, shims: dirname(shim), environment: HOST_ENVIRONMENT };
  return await measureRatios({ ...options, images, signal }, pairs, wants);
}

async function measureGrowths(): Promise<readonly Growth[]> {
  const growths: Growth[] = [];
  for (const subject of growthSubjects) growths.push(await measureGrowth(subject));
  return growths;
}

async function inside({ directory, signal }: Isolation): Promise<number> {
  const { pairs, json, only, against, vm } = readArguments();
  if (vm) return await benchVm({ pairs, json, print, directory, signal });
  const [build] = (await findContainerds(NEWEST, () => undefined)) as [ContainerdBuild];
  const images = await makeImages(join(directory, "images"));
  const home = join(directory, "c");
  mkdirSync(home);
  // A copy, so that its memory is not shared with the Node that runs this, and whoever else uses the same file.
  const shims = join(directory, "shims");
  cpSync(DISTRIBUTION, shims, { recursive: true });
  const otherShims = join(directory, "other");
  if (against !== undefined) cpSync(against, otherShims, { recursive: true });
  const environment = { ...HOST_ENVIRONMENT, UVM_SHIM_TELEMETRY_FILE: telemetryFile(directory) };
  const containerd = await Containerd.start({ build, directory: home, shims, environment }, signal);
  try {
    await containerd.mustCtr(["image", "import", images.archive]);
    const shim = join(shims, SHIM_PROGRAM);
    const otherShim = against === undefined ? undefined : join(otherShims, SHIM_PROGRAM);
    const bench: Bench = { containerd, images, directory, shim, otherShim, signal, count: 0 };
    const results = await measure(bench, pairs, only);
    show(results, print);
    if (json !== undefined) writeFileSync(resolve(json), `${JSON.stringify(results, undefined, 2)}\n`);
    return results.growths.every(({ ratio }) => ratio <= greatestRatio) ? 0 : 1;
  } finally {
    await containerd.destroy();
  }
}

const NEWEST = WANTED.slice(-1);

async function main(): Promise<number> {
  const isolated = isolation();
  if (isolated !== undefined) return await inside(isolated);
  const { vm } = readArguments();
  checkMachine(RUNTIMES.lcow);
  if (vm) return await runIsolated(import.meta.url, process.argv.slice(2), { inMemory: true });
  await findContainerds(NEWEST, print);
  // On the disk, as containerd is in production.
  return await runIsolated(import.meta.url, process.argv.slice(2), { inMemory: false });
}

try {
  process.exitCode = await main();
} catch (error) {
  process.stderr.write(`bench: ${messageOf(error)}\n`);
  process.exitCode = 1;
}
