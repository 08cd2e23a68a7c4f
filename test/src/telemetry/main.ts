/**
 * `npm run telemetry [-- --only hang --show]`: pods through the real shim on the emulated host, with a receiver of OTLP
 * that decodes what the shim exports. `--show` prints the trace and the metrics of a pod as they were received.
 */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { messageOf } from "@uvm-shim/lifecycle";
import { mustRun } from "@uvm-shim/test-support/command";
import { makeRootfs } from "@uvm-shim/test-support/rootfs";
import { describeCounts } from "../../../tools/counts.ts";
import { isolation, runIsolated } from "../support/isolate.ts";
import { type Case, type Stage, telemetryCases } from "./cases.ts";
import { show } from "./show.ts";

const { values: flags } = parseArgs({
  options: { only: { type: "string", default: "" }, show: { type: "boolean", default: false } },
});

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

async function inside(directory: string, signal: AbortSignal): Promise<number> {
  // The receiver is on the loopback device of this network namespace.
  await mustRun("ip", ["link", "set", "lo", "up"]);
  const rootfs = join(directory, "rootfs");
  mkdirSync(rootfs);
  await makeRootfs(rootfs);
  const only = new RegExp(flags.only);
  const cases: readonly Case[] = telemetryCases.filter(({ name }) => only.test(name));
  let [passed, failed] = [0, 0];
  for (const { name, run } of cases) {
    const stage: Stage = { directory: join(directory, `case-${passed + failed}`), rootfs, signal };
    mkdirSync(stage.directory);
    try {
      const received = await run(stage);
      passed += 1;
      print(`passed: ${name}`);
      if (flags.show && received !== undefined) print(`\n${show(received)}\n`);
    } catch (error) {
      failed += 1;
      print(`FAILED: ${name}\n  ${error instanceof Error ? error.stack : messageOf(error)}`);
    }
  }
  print(describeCounts({ passed, failed }));
  return failed === 0 && passed > 0 ? 0 : 1;
}

const isolated = isolation();
try {
  process.exitCode =
    isolated === undefined
      ? await runIsolated(import.meta.url, process.argv.slice(2), { inMemory: true })
      : await inside(isolated.directory, isolated.signal);
} catch (error) {
  process.stderr.write(`telemetry: ${messageOf(error)}\n`);
  process.exitCode = 1;
}
