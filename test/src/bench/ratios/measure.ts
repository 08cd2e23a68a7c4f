import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { poll } from "../../support/wait.ts";
import { measureOutput } from "../output.ts";
import { interleave } from "../statistics.ts";
import { compareBursts } from "./burst.ts";
import { compareCalls } from "./calls.ts";
import { compareFlood } from "./flood.ts";
import { compareCriPods, compareCtrRuns, compareMemory } from "./pods.ts";
import { type LeftOut, type Ratio, type RatioName, type RatioResults, ratioOf } from "./ratio.ts";
import { runtimeOf, type Side, Stand, type StandOptions } from "./stand.ts";

/** Of the measurements that take minutes. */
const LONG_PAIRS = 3;
const WARM_VMS = 2;
const FULL_MS = 30_000;

interface Subject {
  /** What it measures at once. */
  readonly names: readonly RatioName[];
  readonly measure: (options: StandOptions, pairs: number) => Promise<readonly Ratio[] | LeftOut>;
}

const SUBJECTS: readonly Subject[] = [
  {
    names: ["ctr-run-classic"],
    measure: (options, pairs) =>
      on(options, "a shim for each pod", false, (stand) => compareCtrRuns("ctr-run-classic", stand, pairs)),
  },
  {
    names: ["ctr-run-sandboxer"],
    measure: (options, pairs) =>
      on(options, "a sandboxer", false, (stand) => compareCtrRuns("ctr-run-sandboxer", stand, pairs)),
  },
  {
    names: ["cri-pod"],
    measure: (options, pairs) => on(options, "a sandboxer", true, (stand) => compareCriPods("cri-pod", stand, pairs)),
  },
  { names: ["cri-pod-warm"], measure: compareWarmPods },
  {
    names: ["memory-50-pods"],
    measure: (options, pairs) =>
      on(options, "a sandboxer", true, (stand) => compareMemory(stand, Math.min(pairs, LONG_PAIRS))),
  },
  {
    names: ["state-rate", "state-p99"],
    measure: (options, pairs) => on(options, "a sandboxer", true, (stand) => compareCalls(stand, pairs, "State")),
  },
  {
    names: ["pids-rate", "pids-p99"],
    measure: (options, pairs) => on(options, "a sandboxer", true, (stand) => compareCalls(stand, pairs, "Pids")),
  },
  {
    names: ["stdio"],
    measure: (options, pairs) => on(options, "a sandboxer", false, (stand) => compareStdio(stand, pairs)),
  },
  { names: ["flood-state-p99"], measure: (options) => on(options, "a sandboxer", true, compareFlood) },
  {
    names: ["burst-exec-p99", "burst-15-pods"],
    measure: (options, pairs) =>
      on(options, "a sandboxer", true, (stand) => compareBursts(stand, Math.min(pairs, LONG_PAIRS))),
  },
];

/** @param wants which of them are asked for. */
export async function measureRatios(
  options: StandOptions,
  pairs: number,
  wants: (name: RatioName) => boolean,
): Promise<RatioResults> {
  const ratios: Ratio[] = [];
  const leftOut: LeftOut[] = [];
  for (const { names, measure } of SUBJECTS) {
    if (!names.some(wants)) continue;
    const outcome = await measure(options, pairs);
    if ("reason" in outcome) leftOut.push(outcome);
    else ratios.push(...outcome.filter(({ name }) => wants(name)));
  }
  return { ratios, leftOut };
}

async function on(
  options: StandOptions,
  serving: Parameters<typeof Stand.start>[1],
  hasCri: boolean,
  work: (stand: Stand) => Promise<readonly Ratio[]>,
): Promise<readonly Ratio[]> {
  await using stand = await Stand.start(options, serving, hasCri);
  return await work(stand);
}

async function compareStdio(stand: Stand, pairs: number): Promise<readonly Ratio[]> {
  const one = async (side: Side): Promise<number> => {
    const { containerd, signal } = stand;
    return (await measureOutput(containerd, runtimeOf(side), stand.newId("output"), signal)).mebibytesPerSecond;
  };
  const { ours, peers } = await interleave(
    pairs,
    () => one("ours"),
    () => one("peers"),
  );
  return [ratioOf("stdio", ours, peers)];
}

async function compareWarmPods(options: StandOptions, pairs: number): Promise<readonly Ratio[] | LeftOut> {
  const configuration = join(options.directory, "warm.toml");
  writeFileSync(configuration, `warm_pool = ${WARM_VMS}\n`);
  let stand: Stand;
  try {
    stand = await Stand.start(options, "a sandboxer", true, ["-config", configuration]);
  } catch (error) {
    const unknown = String(error).match(/unknown key "warm_pool"/);
    if (unknown === null) throw error;
    return { name: "cri-pod-warm", reason: `this sandboxer cannot boot VMs ahead: ${unknown[0]}` };
  }
  await using _stand = stand;
  const { sandboxer, signal } = stand;
  // What boots in the background would take its time from whoever is measured next.
  let logged = 0;
  const isFull = (): true | undefined => {
    const lines = sandboxer
      .log()
      .split("\n")
      .filter((line) => /msg="warm pool is full"/.test(line)).length;
    if (lines === logged) return undefined;
    logged = lines;
    return true;
  };
  await poll("the pool to be full", isFull, { timeoutMs: FULL_MS, signal });
  return await compareCriPods("cri-pod-warm", stand, pairs, {
    afterOurs: async () => void (await poll("the pool to be full again", isFull, { timeoutMs: FULL_MS, signal })),
  });
}
