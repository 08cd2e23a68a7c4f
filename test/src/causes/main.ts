/**
 * `npm run causes [-- <part of a name>]`: brings about every cause that `uvm-diag why` can name, with the shim that ships
 * on the emulated host, and looks whether it names that one.
 */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { makeLayer } from "@uvm-shim/test-support/layers";
import { makeRootfs } from "@uvm-shim/test-support/rootfs";
import { causes } from "../../../apps/uvm-diag/src/why/index.ts";
import { describeCounts } from "../../../tools/counts.ts";
import { checkMachine } from "../e2e/machine.ts";
import { RUNTIMES } from "../e2e/suite.ts";
import { type Isolation, runSuite } from "../support/isolate.ts";
import { Bench, type Images } from "./bench.ts";
import { type Provocation, verdictProblem } from "./provocation.ts";
import { provocations } from "./provocations.ts";

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

/** Undefined if the right cause is named, else what is wrong. */
async function provoke(provocation: Provocation, bench: Bench): Promise<string | undefined> {
  try {
    await provocation.run(bench);
    return await verdictProblem(provocation, bench);
  } catch (error) {
    return `it could not be provoked: ${error instanceof Error ? error.message : String(error)}`;
  } finally {
    await bench.close();
  }
}

async function inside({ directory, signal }: Isolation): Promise<number> {
  const [wanted = ""] = process.argv.slice(2);
  const rootfs = join(directory, "rootfs");
  mkdirSync(rootfs);
  await makeRootfs(rootfs);
  const images: Images = { rootfs, layer: await makeLayer(join(directory, "layer"), rootfs) };
  const chosen = provocations.filter(({ name, cause = "nothing" }) => `${cause} ${name}`.includes(wanted));
  let failed = 0;
  let leftOut = 0;
  for (const [index, provocation] of chosen.entries()) {
    signal.throwIfAborted();
    const { cause = "nothing", name } = provocation;
    const lacking = provocation.lacks?.();
    if (lacking !== undefined) {
      print(`left out ${cause}: ${name}, which needs ${lacking}`);
      leftOut += 1;
      continue;
    }
    const own = join(directory, `${index}`);
    mkdirSync(own);
    const began = performance.now();
    const problem = await provoke(provocation, new Bench(own, images, signal));
    const seconds = ((performance.now() - began) / 1000).toFixed(1);
    print(`${problem === undefined ? "ok    " : "FAILED"} ${cause}: ${name} (${seconds} s)`);
    if (problem !== undefined) {
      failed += 1;
      print(problem.replace(/^/gm, "       "));
    }
  }
  if (wanted === "") {
    const provoked = new Set(provocations.map(({ cause }) => cause));
    for (const { code } of causes.filter((one) => !provoked.has(one.code))) {
      failed += 1;
      print(`FAILED ${code}: nothing provokes it`);
    }
    print(`${causes.length} causes`);
  }
  print(describeCounts({ passed: chosen.length - leftOut - failed, failed, skipped: leftOut }));
  return failed === 0 ? 0 : 1;
}

// What was provoked may hold pipes and timers for ever.
await runSuite("causes", import.meta.url, inside, () => checkMachine(RUNTIMES.lcow));
