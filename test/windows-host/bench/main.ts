/** `npm run bench:windows`: what the Windows driver's streams carry and how it holds up the event loop, under Wine. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { median, medianRatio } from "../../src/bench/statistics.ts";
import { bundleForWindows, testHostEnvironment } from "../suites/run-under-wine.ts";
import { WindowsMachine, windowsPath } from "../windows-machine.ts";
import { WindowsTestHost } from "../windows-test-host.ts";
import { REPOSITORY, WINDOWS_NODE } from "../wine-environment.ts";
import type { EventLoopResults } from "./event-loop-results.ts";
import type { StreamResults } from "./stream-results.ts";

const leastRatio = 0.7;
const mostDelayMs = 50;
const timeoutMs = 600_000;

await using host = await WindowsTestHost.start();
await using machine = await WindowsMachine.start({ folders: [host.directory], network: "shared" });
const folder = join(host.directory, "bench");
mkdirSync(folder);

async function run(name: string): Promise<unknown> {
  const program = join(folder, `${name}.mjs`);
  const source = join(REPOSITORY, "test/windows-host/bench", `${name}.ts`);
  await bundleForWindows(`await import(${JSON.stringify(source)});`, program);
  const { status, stdout, stderr } = await machine.run({
    program: WINDOWS_NODE,
    // As the shipped executables have it.
    args: ["--enable-source-maps", "--max-semi-space-size=2", windowsPath(program)],
    environment: testHostEnvironment(host, folder),
    timeoutMs,
  });
  if (status !== 0) throw new Error(`the benchmark ${name} ended with ${status}:\n${stderr}`);
  return JSON.parse(stdout.toString());
}

const show = (value: number): string => value.toFixed(value < 10 ? 2 : 0);
const print = (line: string): void => void process.stdout.write(`${line}\n`);

const streams = (await run("streams")) as StreamResults;
const { ours, peers } = streams.mebibytesPerSecond;
const ratio = medianRatio(ours, peers);
const { alone, besideStreams } = streams.fileCallMs;
print(`hvsocket stream: ${show(streams.checkedBytesEachWay / 1024 ** 3)} GiB each way, digests equal`);
print(
  `throughput: ${show(median(ours))} MiB/s, node:net ${show(median(peers))} MiB/s, median ratio of ${ours.length} pairs ${show(ratio)}`,
);
print(
  `stat beside ${streams.concurrent} streams that wait: ${show(besideStreams)} ms, alone ${show(alone)} ms; event loop's longest delay ${show(streams.longestDelayMs)} ms`,
);

const { pending, sleepMs, longestDelayMs } = (await run("event-loop")) as EventLoopResults;
const idle = median(longestDelayMs.idle);
const busy = median(longestDelayMs.busy);
print(
  `event loop's longest delay with ${pending} operations pending and a call that sleeps ${sleepMs / 1000} s: ${longestDelayMs.busy.map(show).join(", ")} ms, median ${show(busy)} ms; with nothing to do ${show(idle)} ms, ratio ${show(busy / idle)}`,
);

if (ratio < leastRatio) {
  print(`failed: the throughput ratio is too low: expected at least ${leastRatio}`);
  process.exitCode = 1;
}
if (busy >= mostDelayMs) {
  print(`failed: the event loop's delay is too long: expected less than ${mostDelayMs} ms`);
  process.exitCode = 1;
}
