/**
 * `npm run attack`: hostile guests, decoders that are fed with anything, kills at any moment, and machines that run out of
 * something; in namespaces of their own and with a bound of memory, so that a fault that is found cannot take the machine.
 */
import { checkMachine } from "../e2e/machine.ts";
import { RUNTIMES } from "../e2e/suite.ts";
import { type Isolation, isolation, runIsolated } from "../support/isolate.ts";
import { readArguments, usage } from "./arguments.ts";
import { Attack } from "./attack.ts";
import { feed } from "./fuzz/feed.ts";
import { listAll } from "./list.ts";

const memoryBytes = 4 * 1024 * 1024 * 1024;

async function inside(isolated: Isolation, args: readonly string[]): Promise<number> {
  return (await new Attack(readArguments(args), isolated).run()) ? 0 : 1;
}

async function main(): Promise<number> {
  const args = process.argv.slice(2);
  const parsed = readArguments(args);
  if (parsed.lists) {
    for (const line of listAll()) process.stdout.write(`${line}\n`);
    return 0;
  }
  if (parsed.feed !== undefined) return await feed(parsed.feed);
  const isolated = isolation();
  if (isolated !== undefined) return await inside(isolated, args);
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
