/**
 * One process for one decoder. Its first thread watches the other, in which the decoder runs: a case that does
 * not end is a hang, and ends it.
 */
import { Worker } from "node:worker_threads";
import { useRunFolder } from "@uvm-shim/test-support/run-folders";
import { Cases } from "./cases.ts";
import { mostCaseMs } from "./judge.ts";
import { findSubject } from "./subjects/index.ts";
import type { FuzzOrders, FuzzReport, FuzzResult } from "./types.ts";

const lookMs = 50;
/** A case that took long is done once more by the other thread, which then judges. */
const hangMs = 4 * mostCaseMs;
const heapMiB = 300;
const kibibyte = 1024;

const orders = JSON.parse(process.argv[2] ?? "") as FuzzOrders;
// The thread that decodes is ended without a word, and so removes nothing.
useRunFolder("uvm-fuzz-");
const progress = new Int32Array(new SharedArrayBuffer(4));
progress[0] = -0x80000000;
const worker = new Worker(new URL("./worker.ts", import.meta.url), {
  workerData: { ...orders, progress },
  resourceLimits: { maxOldGenerationSizeMb: heapMiB },
  // Descriptors that openat2 gave are closed by Node: it would warn of each, and the warnings wait until all cases are done.
  trackUnmanagedFds: false,
});

let current = -0x80000000;
let usedAtStart = 0;
const watch = setInterval(() => {
  const number = Atomics.load(progress, 0);
  const used = (process.cpuUsage().user + process.cpuUsage().system) / 1000;
  if (number !== current) {
    current = number;
    usedAtStart = used;
  } else if (number !== -0x80000000 && used - usedAtStart > hangMs) {
    fail(`took more than ${hangMs} ms of a processor and was ended`);
  }
}, lookMs);

function fail(problem: string): void {
  const number = Atomics.load(progress, 0);
  const input = number < 0 ? (orders.corpus[-1 - number] ?? "") : inputOf(number);
  report({
    subject: orders.subject,
    cases: Math.max(0, number),
    longestMs: 0,
    learned: 0,
    blocks: 0,
    faults: [{ number, problem, input }],
  });
}

/** Only where nothing was learned do seed and number make the same input again. */
function inputOf(number: number): string {
  return orders.exploreMs > 0
    ? ""
    : new Cases(findSubject(orders.subject), orders.seed).make(number).toString("base64");
}

function report(result: FuzzResult): void {
  clearInterval(watch);
  const memoryMiB = process.resourceUsage().maxRSS / kibibyte;
  process.stdout.write(`${JSON.stringify({ ...result, memoryMiB } satisfies FuzzReport)}\n`, () => process.exit(0));
}

worker.on("message", report);
worker.on("error", (error) => fail(`ended its thread: ${error instanceof Error ? error.stack : String(error)}`));
