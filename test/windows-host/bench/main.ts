/** `npm run bench:windows`: what the Windows driver's streams carry, as ratios to node:net under the same Wine. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { median, medianRatio } from "../../src/bench/statistics.ts";
import { bundleForWindows, testHostEnvironment } from "../suites/run-under-wine.ts";
import { WindowsMachine, windowsPath } from "../windows-machine.ts";
import { WindowsTestHost } from "../windows-test-host.ts";
import { REPOSITORY, WINDOWS_NODE } from "../wine-environment.ts";
import type { StreamResults } from "./stream-results.ts";

const leastRatio = 0.7;
const timeoutMs = 600_000;

await using host = await WindowsTestHost.start();
await using machine = await WindowsMachine.start({ folders: [host.directory], network: "shared" });
const folder = join(host.directory, "bench");
mkdirSync(folder);
const program = join(folder, "streams.mjs");
await bundleForWindows(
  `await import(${JSON.stringify(join(REPOSITORY, "test/windows-host/bench/streams.ts"))});`,
  program,
);
const { status, stdout, stderr } = await machine.run({
  program: WINDOWS_NODE,
  args: ["--enable-source-maps", windowsPath(program)],
  environment: testHostEnvironment(host, folder),
  timeoutMs,
});
if (status !== 0) throw new Error(`the benchmark ended with ${status}:\n${stderr}`);

const results = JSON.parse(stdout.toString()) as StreamResults;
const { ours, peers } = results.mebibytesPerSecond;
const ratio = medianRatio(ours, peers);
const show = (value: number): string => value.toFixed(value < 10 ? 2 : 0);
const { alone, besideStreams } = results.fileCallMs;
const lines = [
  `hvsocket stream: ${show(results.checkedBytesEachWay / 1024 ** 3)} GiB each way, digests equal`,
  `throughput: ${show(median(ours))} MiB/s, node:net ${show(median(peers))} MiB/s, median ratio of ${ours.length} pairs ${show(ratio)}`,
  `stat beside ${results.concurrent} streams that wait: ${show(besideStreams)} ms, alone ${show(alone)} ms; event loop's longest delay ${show(results.longestDelayMs)} ms`,
];
process.stdout.write(`${lines.join("\n")}\n`);
if (ratio < leastRatio) {
  process.stdout.write(`failed: the ratio of the throughput is to be at least ${leastRatio}\n`);
  process.exitCode = 1;
}
