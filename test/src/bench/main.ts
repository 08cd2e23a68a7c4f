/**
 * `npm run bench [-- --pairs 10 --json <file> --only output --against <folder>]`: what a pod in an emulated utility VM costs, as ratios
 * against containerd's own runc shim, measured in the same run on the same containerd; and whether a controller's own
 * cost of an operation grows with the number of what it controls. `--against` names the `dist/linux-x64` of another
 * commit, whose phases of a pod are measured in turns with this one's.
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
import { PHASES, type Phase, Pod, readOnlyRoot } from "../shim-client/pod.ts";
import { type Isolation, isolation, runIsolated } from "../support/isolate.ts";
import { proportionalSetSize } from "../support/memory.ts";
import { DISTRIBUTION, SHIM_PROGRAM, WINDOWS_SHIM_PROGRAM } from "../support/programs.ts";
import { type Growth, greatestRatio, measureGrowth, showGrowth } from "./growth.ts";
import { growthSubjects } from "./growth-subjects.ts";
import { measureOutput, type OutputCost } from "./output.ts";
import { measurePods, type PodCost, showPods } from "./pod-cost.ts";
import { info, startUp } from "./start-up.ts";
import { interleave, median, medianRatio } from "./statistics.ts";
import { measureTelemetry } from "./telemetry.ts";

interface Comparison {
  readonly what: string;
  readonly unit: string;
  readonly ours: number;
  readonly peers: number;
  /** The median of the pairs' ratios. */
  readonly ratio: number;
}

type PhaseDurations = { readonly [phase in Phase]: number };

/** What the same phases took with the shim of another commit. */
interface PhaseComparison {
  readonly theirs: PhaseDurations;
  /** The medians of the pairs' ratios. */
  readonly ratios: PhaseDurations;
  readonly totalRatio: number;
}

interface Results {
  readonly containerd: string;
  readonly pairs: number;
  readonly comparisons: readonly Comparison[];
  /** Of the shim for Windows containers, against that for Linux containers. */
  readonly flavours: readonly Comparison[];
  /** Of a run with telemetry, against one without. */
  readonly telemetry: readonly Comparison[];
  /** Absent where they were not asked for. */
  readonly phases?: PhaseDurations;
  readonly against?: PhaseComparison;
  readonly growths: readonly Growth[];
  readonly pods: readonly PodCost[];
}

const LEAST_PAIRS = 10;
/** Of the measurements that take seconds each. */
const OUTPUT_PAIRS = 5;
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
      pairs: { type: "string", default: `${LEAST_PAIRS}` },
      json: { type: "string" },
      only: { type: "string", default: "" },
      against: { type: "string" },
    },
  });
  const pairs = Number(values.pairs);
  if (!Number.isInteger(pairs) || pairs < LEAST_PAIRS) {
    throw new Error(
      `--pairs ${values.pairs}: it is a whole number from ${LEAST_PAIRS}, for the medians to mean something`,
    );
  }
  const { json, only, against } = values;
  if (against !== undefined && !existsSync(join(against, SHIM_PROGRAM))) {
    throw new Error(`--against ${against}: expected a folder that contains ${SHIM_PROGRAM}`);
  }
  return { pairs, json, only: new RegExp(only), against: against === undefined ? undefined : resolve(against) };
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

/** The phases of one pod with one container that runs `true`, spoken to through the Sandbox API. */
async function phasesOnce(bench: Bench, executable = bench.shim): Promise<PhaseDurations> {
  bench.count += 1;
  const directory = join(bench.directory, `pod-${bench.count}`);
  mkdirSync(directory);
  const durations = new Map<Phase, number>();
  const observer = { begins: () => undefined, ended: (phase: Phase, ms: number) => void durations.set(phase, ms) };
  const { signal } = bench;
  const pod = await Pod.run({
    executable,
    directory,
    id: "pod",
    environment: HOST_ENVIRONMENT,
    signal,
    observer,
  });
  try {
    const rootfs = readOnlyRoot(bench.images.rootfs);
    await pod.runContainer({ id: "one", args: ["true"], rootfs });
    await pod.remove();
  } finally {
    await pod.abandon();
  }
  return eachPhase((phase) => {
    const duration = durations.get(phase);
    if (duration === undefined) throw new Error(`the pod did not go through the phase "${phase}"`);
    return duration;
  });
}

function eachPhase(of: (phase: Phase) => number): PhaseDurations {
  return Object.fromEntries(PHASES.map((phase) => [phase, of(phase)])) as PhaseDurations;
}

function sumOf(phases: PhaseDurations): number {
  return PHASES.reduce((sum, phase) => sum + phases[phase], 0);
}

async function measurePhases(bench: Bench, pairs: number): Promise<Pick<Results, "phases" | "against">> {
  const { otherShim } = bench;
  if (otherShim === undefined) {
    const samples: PhaseDurations[] = [];
    for (let sample = 0; sample < pairs; sample += 1) samples.push(await phasesOnce(bench));
    return { phases: eachPhase((phase) => median(samples.map((durations) => durations[phase]))) };
  }
  await phasesOnce(bench, otherShim);
  const { ours, peers } = await interleave(
    pairs,
    () => phasesOnce(bench),
    () => phasesOnce(bench, otherShim),
  );
  const of = (samples: readonly PhaseDurations[], phase: Phase) => samples.map((durations) => durations[phase]);
  return {
    phases: eachPhase((phase) => median(of(ours, phase))),
    against: {
      theirs: eachPhase((phase) => median(of(peers, phase))),
      ratios: eachPhase((phase) => medianRatio(of(ours, phase), of(peers, phase))),
      totalRatio: medianRatio(ours.map(sumOf), peers.map(sumOf)),
    },
  };
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
  const results = {
    containerd: bench.containerd.build.version,
    pairs,
    comparisons,
    flavours,
    telemetry,
    growths,
    pods,
  };
  return only.test("phases") ? { ...results, ...(await measurePhases(bench, pairs)) } : results;
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

async function measureGrowths(): Promise<readonly Growth[]> {
  const growths: Growth[] = [];
  for (const subject of growthSubjects) growths.push(await measureGrowth(subject));
  return growths;
}

function show(results: Results): void {
  print(
    `containerd ${results.containerd}, medians of ${results.pairs} interleaved pairs; the emulated host was running`,
  );
  print("");
  showComparisons(["shim-lcow", "runc shim"], results.comparisons);
  showComparisons(["shim-wcow", "shim-lcow"], results.flavours);
  showComparisons(["telemetry on", "off"], results.telemetry);
  if (results.phases !== undefined) showPhases(results.phases, results.against, results.pairs);
  if (results.pods.length > 0) {
    print("");
    print("a pod with one container, idle for 5 s, and then with a second that counts and fills 50 MiB of /dev/shm");
    print("");
    print(showPods(results.pods));
  }
  if (results.growths.length === 0) return;
  print("");
  print(`the controllers' own cost of one more, by how many there are, on an instant host; at most ${greatestRatio}x`);
  print("");
  print(showGrowth(results.growths));
}

function showComparisons(columns: readonly string[], comparisons: readonly Comparison[]): void {
  if (comparisons.length === 0) return;
  print(`${"".padEnd(26)}${[...columns].map((name) => name.padStart(12)).join("")}${"ratio".padStart(9)}`);
  for (const { what, unit, ours, peers, ratio } of comparisons) {
    const value = (number: number): string => `${number.toFixed(1)} ${unit}`.padStart(12);
    print(`${what.padEnd(26)}${value(ours)}${value(peers)}${`${ratio.toFixed(2)}x`.padStart(9)}`);
  }
  print("");
}

function showPhases(phases: PhaseDurations, against: PhaseComparison | undefined, pairs: number): void {
  print("");
  print(`phases of one pod with one container, through the Sandbox API, medians of ${pairs}`);
  print(
    "(ctr run goes the classic way: its Create contains create sandbox, boot and create, its Delete contains stop)",
  );
  print("");
  const milliseconds = (duration: number): string => `${duration.toFixed(1)} ms`.padStart(12);
  const total = sumOf(phases);
  if (against !== undefined)
    print(`${"".padEnd(26)}${"this".padStart(12)}${"share".padStart(12)}${"other".padStart(12)}`);
  for (const phase of PHASES) {
    const share = `${((phases[phase] / total) * 100).toFixed(0)} %`.padStart(12);
    const other =
      against === undefined
        ? ""
        : `${milliseconds(against.theirs[phase])}${`${against.ratios[phase].toFixed(2)}x`.padStart(9)}`;
    print(`${phase.padEnd(26)}${milliseconds(phases[phase])}${share}${other}`);
  }
  const other =
    against === undefined
      ? ""
      : `${"".padStart(12)}${milliseconds(sumOf(against.theirs))}${`${against.totalRatio.toFixed(2)}x`.padStart(9)}`;
  print(`${"sum".padEnd(26)}${milliseconds(total)}${other}`);
}

async function inside({ directory, signal }: Isolation): Promise<number> {
  const { pairs, json, only, against } = readArguments();
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
    show(results);
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
  readArguments();
  checkMachine(RUNTIMES.lcow);
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
