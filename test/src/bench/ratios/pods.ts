/** What whole pods take, and their serving processes' memory. */
import { setTimeout as sleep } from "node:timers/promises";
import { IMAGE } from "../../e2e/images.ts";
import { readProcesses } from "../../leaks/holdings.ts";
import { memoryOfTogether } from "../../support/memory.ts";
import { interleave } from "../statistics.ts";
import { type Ratio, ratioOf } from "./ratio.ts";
import { removePods, runtimeOf, type Side, type Stand } from "./stand.ts";

const MANY = 50;
/** At a time, as a kubelet that has just started makes them. */
const TOGETHER = 10;
/** For what the calls have left to be done. */
const SETTLE_MS = 3_000;

/** Milliseconds of `ctr run --rm … true`. */
async function ctrRun(stand: Stand, side: Side): Promise<number> {
  const args = ["run", "--rm", "--runtime", runtimeOf(side).name, IMAGE, stand.newId("run"), "true"];
  const started = performance.now();
  await stand.containerd.mustCtr(args, { signal: stand.signal });
  return performance.now() - started;
}

/** Milliseconds of a pod, from the request for it until it is gone; its container has run. */
async function criPod(stand: Stand, side: Side): Promise<number> {
  const started = performance.now();
  const running = await stand.runPod(side);
  await removePods([running]);
  return performance.now() - started;
}

/** Both sides in turns, after a first time that fills caches. */
async function inTurns(pairs: number, one: (side: Side) => Promise<number>) {
  for (const side of ["ours", "peers"] as const) await one(side);
  return await interleave(
    pairs,
    () => one("ours"),
    () => one("peers"),
  );
}

export async function compareCtrRuns(
  name: "ctr-run-classic" | "ctr-run-sandboxer",
  stand: Stand,
  pairs: number,
): Promise<readonly Ratio[]> {
  const { ours, peers } = await inTurns(pairs, (side) => ctrRun(stand, side));
  return [ratioOf(name, ours, peers)];
}

/** @param afterOurs outside of the time: what one of our pods has set going has to end before the next is measured. */
export async function compareCriPods(
  name: "cri-pod" | "cri-pod-warm",
  stand: Stand,
  pairs: number,
  { afterOurs = async () => {} }: { readonly afterOurs?: () => Promise<void> } = {},
): Promise<readonly Ratio[]> {
  const { ours, peers } = await inTurns(pairs, async (side) => {
    const milliseconds = await criPod(stand, side);
    if (side === "ours") await afterOurs();
    return milliseconds;
  });
  return [ratioOf(name, ours, peers)];
}

export async function compareMemory(stand: Stand, pairs: number): Promise<readonly Ratio[]> {
  const one = async (side: Side): Promise<number> => {
    const pods = [];
    try {
      while (pods.length < MANY) pods.push(...(await stand.runPods(side, Math.min(TOGETHER, MANY - pods.length))));
      await sleep(SETTLE_MS, undefined, { signal: stand.signal });
      return memoryOfTogether(servingProcesses(stand, side));
    } finally {
      await removePods(pods);
    }
  };
  const { ours, peers } = await interleave(
    pairs,
    () => one("ours"),
    () => one("peers"),
  );
  return [ratioOf("memory-50-pods", ours, peers)];
}

function servingProcesses(stand: Stand, side: Side): readonly number[] {
  if (side === "ours") return [stand.sandboxer.pid];
  const { serving } = runtimeOf(side);
  const pids = readProcesses().flatMap(({ pid, command }) => (command.includes(serving) ? [pid] : []));
  if (pids.length !== MANY) throw new Error(`${pids.length} shims serve ${MANY} pods`);
  return pids;
}
