/** The thread of a fuzzer in which the decoder runs; another one watches it. */
import { parentPort, workerData } from "node:worker_threads";
import { Cases } from "./cases.ts";
import { BlockCoverage } from "./coverage.ts";
import { judge, mostCaseMs } from "./judge.ts";
import { findSubject } from "./subjects/index.ts";
import type { Fault, FuzzOrders, FuzzResult } from "./types.ts";

const batch = 256;
const mostFaults = 3;

interface Data extends FuzzOrders {
  /** The number of the case that is under way. */
  readonly progress: Int32Array;
}

const orders = workerData as Data;
const subject = findSubject(orders.subject);
const cases = new Cases(subject, orders.seed);
const end = performance.now() + orders.milliseconds;
const exploreUntil = orders.exploreMs === 0 ? 0 : performance.now() + orders.exploreMs;
const faults: Fault[] = [];
// Most cases are refused by an error, and its stack would take longer than the decoder.
const stackLines = Error.stackTraceLimit;
Error.stackTraceLimit = 0;
let longestMs = 0;
let done = 0;
let blocks = 0;

async function runCase(number: number, input: Buffer): Promise<void> {
  Atomics.store(orders.progress, 0, number);
  const started = performance.now();
  const problem = (await judge(subject, input)) ?? (await slowness(input, performance.now() - started));
  if (problem === undefined || faults.length >= mostFaults) return;
  Error.stackTraceLimit = stackLines;
  const again = await judge(subject, input);
  Error.stackTraceLimit = 0;
  faults.push({ number, problem: again ?? problem, input: input.toString("base64") });
}

/** What took long is done once more, and only the time counts in which this thread had a processor. */
async function slowness(input: Buffer, milliseconds: number): Promise<string | undefined> {
  if (milliseconds <= longestMs) return undefined;
  let own = milliseconds;
  if (milliseconds > mostCaseMs) {
    const before = process.threadCpuUsage();
    await judge(subject, input);
    const { user, system } = process.threadCpuUsage(before);
    own = Math.min(own, (user + system) / 1000);
  }
  longestMs = Math.max(longestMs, own);
  return own > mostCaseMs ? `took ${own.toFixed(0)} ms of a processor, at most ${mostCaseMs} may be` : undefined;
}

/** Goes through a batch that led somewhere new once more, case by case, for those that did. */
async function explore(coverage: BlockCoverage): Promise<void> {
  while (performance.now() < exploreUntil && done < orders.cases && faults.length < mostFaults) {
    const first = done;
    const batchInputs: Buffer[] = [];
    for (; done < first + batch; done += 1) {
      const input = cases.make(done);
      batchInputs.push(input);
      await runCase(done, input);
    }
    if (!coverage.isNew()) continue;
    for (const input of batchInputs) {
      await judge(subject, input);
      if (coverage.look() > 0) cases.learn(input);
    }
  }
}

async function run(): Promise<FuzzResult> {
  for (const [index, input] of orders.corpus.entries()) await runCase(-1 - index, Buffer.from(input, "base64"));
  if (exploreUntil > 0) {
    const coverage = new BlockCoverage();
    await explore(coverage);
    blocks = coverage.blocks;
    coverage.stop();
  }
  while (done < orders.cases && performance.now() < end && faults.length < mostFaults) {
    for (let index = 0; index < batch && done < orders.cases; index += 1, done += 1)
      await runCase(done, cases.make(done));
  }
  return { subject: subject.name, cases: done, longestMs, faults, learned: cases.learned, blocks };
}

parentPort?.postMessage(await run());
