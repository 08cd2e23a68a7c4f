/**
 * Run under Wine: how long the event loop stands still while operations of the compute service are pending and a call of
 * its DLL sleeps, beside a loop that has nothing to do. Prints EventLoopResults as JSON.
 */
import { writeSync } from "node:fs";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { setTimeout as delay } from "node:timers/promises";
import { controls, system } from "../suites/system-under-test.ts";
import { vmDocument } from "../suites/vm-document.ts";
import type { EventLoopResults } from "./event-loop-results.ts";

const pending = 1000;
const sleepMs = 5000;
/** Operations are answered when all of them have been asked for, and before the sleep ends. */
const answerMs = 3000;
const rounds = 3;

const host = await system.openHost();
const vm = await host.createComputeSystem("event-loop", vmDocument({ owner: "bench", endsWithLastHandle: true }));

async function longestDelay(during: () => Promise<unknown>): Promise<number> {
  const monitor = monitorEventLoopDelay({ resolution: 1 });
  monitor.enable();
  await during();
  monitor.disable();
  return monitor.max / 1e6;
}

async function work(): Promise<void> {
  const sleeping = host.service.properties({ PropertyTypes: ["Basic"] });
  await Promise.all(Array.from({ length: pending }, () => vm.properties([])));
  await sleeping;
}

await controls.configure({
  delayMs: answerMs,
  sleep: { function: "HcsGetServiceProperties", milliseconds: sleepMs },
});
const idle: number[] = [];
const busy: number[] = [];
for (let round = 0; round < rounds; round++) {
  idle.push(await longestDelay(() => delay(sleepMs)));
  busy.push(await longestDelay(work));
}
await controls.configure({});
await vm.close();
await host.close();
const results: EventLoopResults = { pending, sleepMs, longestDelayMs: { idle, busy } };
writeSync(1, `${JSON.stringify(results)}\n`);
process.exit(0);
