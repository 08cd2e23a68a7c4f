/**
 * The Windows suite: `node test/src/windows/main.ts [--only <pattern>]`, run under Wine, which is fetched when the cache
 * lacks it. With a pattern, only the executables' cases whose names match. Prints last how many passed and failed.
 */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { describeCounts, runVitest, type TestCounts } from "../../../tools/run-vitest.ts";
import type { Outcome } from "../../windows-host/suites/outcome.ts";
import { runSuiteUnderWine } from "../../windows-host/suites/run-under-wine.ts";
import { WindowsMachine, windowsPath } from "../../windows-host/windows-machine.ts";
import { REPOSITORY, wineRoot } from "../../windows-host/wine-environment.ts";
import { mustRun } from "../support/command.ts";
import { type Isolation, isolation, runIsolated } from "../support/isolate.ts";
import { type CasePaths, casePathsVariable } from "./case-paths.ts";

const SUITES = ["shim", "stdio"];
const SUITE_MS = 600_000;

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

async function inside({ directory }: Isolation, only: string | undefined): Promise<number> {
  await mustRun("ip", ["link", "set", "dev", "lo", "up"]);
  const counts: TestCounts[] = [];
  if (only === undefined) counts.push(await runVitest(["--config", "test/windows-host/vitest.config.ts"]));
  for (const suite of SUITES) counts.push(await runCases(suite, directory, only));
  const sum = (of: keyof TestCounts): number => counts.reduce((total, each) => total + each[of], 0);
  const total = { passed: sum("passed"), failed: sum("failed"), skipped: sum("skipped") };
  print(describeCounts(total));
  return total.failed === 0 ? 0 : 1;
}

/** The cases of one suite, on a Windows machine of their own. */
async function runCases(suite: string, parent: string, only: string | undefined): Promise<TestCounts> {
  print(`the shims' executables under Wine: ${suite}`);
  const directory = join(parent, suite);
  mkdirSync(directory);
  await using machine = await WindowsMachine.start({ folders: [directory], network: "shared" });
  const paths: CasePaths = {
    executables: windowsPath(join(REPOSITORY, "dist", "win32-x64")),
    directory: windowsPath(directory),
  };
  const outcomes = await runSuiteUnderWine({
    suite: fileURLToPath(new URL(`${suite}.suite.ts`, import.meta.url)),
    machine,
    folder: directory,
    environment: { [casePathsVariable]: JSON.stringify(paths) },
    ...(only === undefined ? {} : { pattern: only }),
    timeoutMs: SUITE_MS,
  });
  const run = only === undefined ? outcomes : outcomes.filter(({ state }) => state !== "skipped");
  for (const outcome of run) tell(outcome);
  const count = (state: Outcome["state"]): number => run.filter((outcome) => outcome.state === state).length;
  return { passed: count("passed"), failed: count("failed"), skipped: count("skipped") };
}

function tell({ name, state, milliseconds, errors }: Outcome): void {
  const words = { passed: "ok   ", failed: "FAIL ", skipped: "skip " };
  print(`  ${words[state]} ${name} (${(milliseconds / 1000).toFixed(2)} s)`);
  for (const error of errors) print(error.replaceAll(/^/gm, "        "));
}

async function main(): Promise<number> {
  const { values } = parseArgs({ options: { only: { type: "string" } } });
  const isolated = isolation();
  if (isolated !== undefined) return await inside(isolated, values.only);
  // Before the network is left behind.
  await wineRoot();
  return await runIsolated(import.meta.url, process.argv.slice(2), { inMemory: true });
}

try {
  process.exitCode = await main();
} catch (error) {
  print(`e2e:windows: ${error instanceof Error ? error.message : String(error)}`);
  print("0 passed, 1 failed");
  process.exitCode = 1;
}
