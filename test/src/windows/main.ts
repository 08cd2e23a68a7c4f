/**
 * The Windows suite: `node test/src/windows/main.ts [--suite <name>] [--only <pattern>]`, run under Wine, which is
 * fetched when it is not in the cache. With the name of a suite or a pattern of names, only those cases of the executables.
 * Prints last how many passed and failed.
 */
import { parseArgs } from "node:util";
import { messageOf } from "@uvm-shim/lifecycle";
import { mustRun } from "@uvm-shim/test-support/command";
import { describeCounts, type TestCounts } from "../../../tools/counts.ts";
import { runVitest } from "../../../tools/run-vitest.ts";
import { wineRoot } from "../../windows-host/wine-environment.ts";
import { type Isolation, isolation, runIsolated } from "../support/isolate.ts";
import { runCases, type Selection } from "./run-cases.ts";

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

async function inside({ directory }: Isolation, selection: Selection): Promise<number> {
  await mustRun("ip", ["link", "set", "dev", "lo", "up"]);
  const counts: TestCounts[] = [];
  const { only, suite } = selection;
  if (only === undefined && suite === undefined) {
    counts.push(await runVitest(["--config", "test/windows-host/vitest.config.ts"]));
  }
  counts.push(...(await runCases(directory, selection)));
  const sum = (of: keyof TestCounts): number => counts.reduce((total, each) => total + (each[of] ?? 0), 0);
  const total = { passed: sum("passed"), failed: sum("failed"), skipped: sum("skipped") };
  print(describeCounts(total));
  return total.failed === 0 && total.passed > 0 ? 0 : 1;
}

async function main(): Promise<number> {
  const { values } = parseArgs({ options: { only: { type: "string" }, suite: { type: "string" } } });
  const isolated = isolation();
  if (isolated !== undefined) return await inside(isolated, { only: values.only, suite: values.suite });
  // Before the network is left behind.
  await wineRoot();
  return await runIsolated(import.meta.url, process.argv.slice(2), { inMemory: true });
}

try {
  process.exitCode = await main();
} catch (error) {
  print(`e2e:windows: ${messageOf(error)}`);
  print(describeCounts({ passed: 0, failed: 1 }));
  process.exitCode = 1;
}
