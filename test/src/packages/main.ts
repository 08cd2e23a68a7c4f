/**
 * `npm run packages [-- <pattern>]`: packs the published packages, installs the tarballs in an empty project, and uses
 * them there. With a pattern, only packages of such names are checked; all are installed.
 */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { messageOf } from "@uvm-shim/lifecycle";
import { useRunFolder } from "@uvm-shim/test-support/run-folders";
import { describeCounts } from "../../../tools/counts.ts";
import { checkPackages } from "./check-packages.ts";
import { Consumer } from "./consumer.ts";
import { Runtimes } from "./runtimes.ts";
import { lowestNodes, pack, publishedNames } from "./tarballs.ts";

const started = performance.now();

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

function step(what: string): void {
  print(`${((performance.now() - started) / 1000).toFixed(0).padStart(4)} s  ${what}`);
}

async function main(): Promise<number> {
  const pattern = new RegExp(process.argv[2] ?? "");
  const folder = useRunFolder("uvm-shim-packages-");
  const [tarballs, project] = ["tarballs", "project"].map((name) => join(folder, name)) as [string, string];
  for (const path of [tarballs, project]) mkdirSync(path);
  const nodes = await Runtimes.of(lowestNodes());
  step(`packing, for ${nodes.titles.join(", ")}`);
  const packages = await pack(publishedNames(), tarballs);
  step(`installing ${packages.length} packages`);
  const consumer = await Consumer.install(project, packages);
  const chosen = packages.filter(({ name }) => pattern.test(name));
  const report = await checkPackages({ consumer, packages: chosen, nodes, step });
  for (const line of [...report.lines(), ...report.failures()]) print(line);
  const { passed, failed } = report.counts();
  step("done");
  print(describeCounts({ passed, failed }));
  return failed === 0 && passed > 0 ? 0 : 1;
}

try {
  process.exitCode = await main();
} catch (error) {
  print(`packages: ${messageOf(error)}`);
  print(describeCounts({ passed: 0, failed: 1 }));
  process.exitCode = 1;
}
