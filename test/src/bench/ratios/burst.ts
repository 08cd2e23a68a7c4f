/** Many pods that are made at once, and what somebody notices of it who works in another. */
import { setTimeout as sleep } from "node:timers/promises";
import { interleave } from "../statistics.ts";
import { type Ratio, ratioOf, ratioOfTails } from "./ratio.ts";
import { type RunningPod, removePods, type Side, type Stand } from "./stand.ts";

const PODS = 15;
const EVERY_MS = 100;
const IDLE_MS = 5_000;

export async function compareBursts(stand: Stand, pairs: number): Promise<readonly Ratio[]> {
  const tails = { idle: [] as number[], burst: [] as number[] };
  const one = async (side: Side): Promise<number> => {
    const present = await stand.runPod(side);
    try {
      await execsWhile(stand, present, sleep(EVERY_MS * 3));
      const idle = await execsWhile(stand, present, sleep(IDLE_MS));
      const started = performance.now();
      const pods = stand.runPods(side, PODS);
      const milliseconds = pods.then(() => performance.now() - started);
      try {
        const burst = await execsWhile(stand, present, pods);
        if (side === "ours") {
          tails.idle.push(...idle);
          tails.burst.push(...burst);
        }
      } finally {
        await removePods(await pods.catch(() => []));
      }
      return await milliseconds;
    } finally {
      await removePods([present]);
    }
  };
  const { ours, peers } = await interleave(
    pairs,
    () => one("ours"),
    () => one("peers"),
  );
  return [ratioOfTails("burst-exec-p99", tails.burst, tails.idle), ratioOf("burst-15-pods", ours, peers)];
}

/** Milliseconds of each of the execs that begin, one every 100 ms, before something has ended. */
async function execsWhile(
  stand: Stand,
  { container }: RunningPod,
  ending: Promise<unknown>,
): Promise<readonly number[]> {
  let isOver = false;
  const note = (): void => {
    isOver = true;
  };
  const over = ending.then(note, note);
  const execs: Promise<number>[] = [];
  while (!isOver) {
    execs.push(exec(stand, container));
    await Promise.race([sleep(EVERY_MS), over]);
  }
  return await Promise.all(execs);
}

async function exec({ cri }: Stand, containerId: string): Promise<number> {
  const started = performance.now();
  const { exitCode } = await cri.call("ExecSync", { containerId, cmd: ["true"], timeout: 60 }, { timeoutMs: 60_000 });
  if (exitCode !== 0) throw new Error(`an exec ended with ${exitCode}`);
  return performance.now() - started;
}
