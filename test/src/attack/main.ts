/**
 * `npm run attack`: a hostile guest in all its modes, in namespaces of its own and with a bound of memory, so that a
 * fault that is found cannot take the machine.
 */
import { checkMachine } from "../e2e/machine.ts";
import { RUNTIMES } from "../e2e/suite.ts";
import { type Isolation, isolation, runIsolated } from "../support/isolate.ts";
import { type AttackArguments, readArguments, usage } from "./arguments.ts";
import { HostileGuests } from "./harness/hostile-guests.ts";
import type { ModeResult } from "./harness/run-mode.ts";
import { modes } from "./modes/index.ts";

const memoryBytes = 4 * 1024 * 1024 * 1024;
const together = 4;
const floodMs = 2_500;

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

function reportMode({ mode, problems, figures }: ModeResult, seed: number): void {
  const { memoryMiB, stateMs, deleteMs, killMs, removeMs, logBytes, events } = figures;
  const shown = [
    `${memoryMiB.toFixed(0)} MiB`,
    `State ${stateMs.toFixed(0)} ms`,
    `Delete ${deleteMs.toFixed(0)} ms`,
    ...(killMs > 0 ? [`killed ${killMs.toFixed(0)} ms`] : []),
    `removed ${removeMs.toFixed(0)} ms`,
    `log ${(logBytes / 1000).toFixed(0)} kB`,
    `${events} events`,
  ];
  print(`${problems.length === 0 ? "passed" : "FAILED"} guest ${mode}: ${shown.join(", ")}`);
  for (const problem of problems) print(`  ${problem}`);
  if (problems.length > 0) print(`  again: npm run attack -- --seed ${seed} --only '^guest ${mode}$'`);
}

async function inside({ directory, signal }: Isolation, wanted: AttackArguments): Promise<number> {
  const guests = await HostileGuests.prepare({
    ...{ directory, seed: wanted.seed, floodMs, together, signal },
    report: (result) => reportMode(result, wanted.seed),
  });
  const results = await guests.run(modes.filter((mode) => wanted.only.test(`guest ${mode.name}`)));
  const failed = results.filter((result) => result.problems.length > 0).length;
  print(`${results.length - failed} passed, ${failed} failed`);
  return failed === 0 ? 0 : 1;
}

async function main(): Promise<number> {
  const args = process.argv.slice(2);
  const wanted = readArguments(args);
  if (wanted.lists) {
    for (const mode of modes) print(`guest ${mode.name}: ${mode.what}`);
    return 0;
  }
  const isolated = isolation();
  if (isolated !== undefined) return await inside(isolated, wanted);
  checkMachine(RUNTIMES.lcow);
  return await runIsolated(import.meta.url, args, { inMemory: true, memoryBytes });
}

try {
  process.exitCode = await main();
} catch (error) {
  process.stderr.write(
    `attack: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n${usage}\n`,
  );
  process.exitCode = 1;
}
// After a failure, programs that hold FIFOs may still wait for a process that will not come.
process.exit();
