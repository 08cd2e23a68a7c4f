/**
 * The containerd suite: `node test/src/e2e/main.ts [--runtime lcow|runc] [--containerd 1.6,1.7,2.1] [--only <pattern>]`.
 * Prints a line for each case and, last, how many passed and failed; its exit code says whether all passed.
 */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { type ContainerdBuild, findContainerds, WANTED } from "../debian/containerds.ts";
import { shimScope } from "../leaks/shim-scope.ts";
import { makeExt4 } from "../support/disk.ts";
import { type Isolation, isolation, runIsolated } from "../support/isolate.ts";
import { DISTRIBUTION, HOST_ENVIRONMENT } from "../support/programs.ts";
import { declareDevices, deviceCases } from "./cases/devices.ts";
import { eventCases } from "./cases/events.ts";
import { inputCases } from "./cases/input.ts";
import { networkCases } from "./cases/network.ts";
import { optionCases } from "./cases/options.ts";
import { protocolCases, runProtocolCase } from "./cases/protocol.ts";
import { protocolContainerCases } from "./cases/protocol-containers.ts";
import { protocolNetworkCases } from "./cases/protocol-network.ts";
import { resourceCases } from "./cases/resources.ts";
import { runningCases } from "./cases/running.ts";
import { sandboxCases } from "./cases/sandbox.ts";
import { snapshotterCases } from "./cases/snapshotters.ts";
import { stdioCases } from "./cases/stdio.ts";
import { storageCases } from "./cases/storage.ts";
import { Containerd } from "./containerd.ts";
import { type Images, makeImages } from "./images.ts";
import { checkMachine } from "./machine.ts";
import { endStrayProcesses, endStrays, scopeOf } from "./scope.ts";
import { type Case, type Ground, leavingNothing, Report, RUNTIMES, type Runtime } from "./suite.ts";

const CASES: readonly Case[] = [
  ...runningCases,
  ...stdioCases,
  ...eventCases,
  ...snapshotterCases,
  ...inputCases,
  ...optionCases,
  ...sandboxCases,
  ...deviceCases,
  ...storageCases,
  ...networkCases,
  ...resourceCases,
];

interface Selection {
  readonly runtime: Runtime;
  readonly only: RegExp;
  readonly builds: readonly ContainerdBuild[];
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

async function select(tell: (line: string) => void): Promise<Selection> {
  const { values } = parseArgs({
    options: {
      runtime: { type: "string", default: "lcow" },
      containerd: { type: "string", default: WANTED.map((one) => one.version).join(",") },
      only: { type: "string", default: "" },
    },
  });
  const runtime = Object.values(RUNTIMES).find((one) => one.key === values.runtime);
  if (runtime === undefined) throw new Error(`--runtime ${values.runtime}: it is lcow or runc`);
  const wanted = WANTED.filter((one) =>
    values.containerd.split(",").some((version) => one.version.startsWith(version)),
  );
  if (wanted.length === 0) {
    throw new Error(`--containerd ${values.containerd}: it is among ${WANTED.map((one) => one.version).join(", ")}`);
  }
  return { runtime, only: new RegExp(values.only), builds: await findContainerds(wanted, tell) };
}

async function inside({ directory, signal }: Isolation): Promise<number> {
  const selection = await select(() => undefined);
  const report = new Report(print, signal);
  const images = await makeImages(join(directory, "images"));
  const environment = { ...HOST_ENVIRONMENT, ...declareDevices(directory) };
  const blockfileScratch = join(directory, "blockfile.ext4");
  await makeExt4(blockfileScratch, 64);
  if (selection.runtime.key === "lcow")
    await runProtocol({ selection, images, report, directory, environment, signal });
  for (const build of selection.builds) {
    if (signal.aborted) break;
    await runAgainst({ build, selection, images, blockfileScratch, report, directory, environment, signal });
  }
  if (signal.aborted) print("interrupted");
  for (const failure of report.failures) print(`failed: ${failure}`);
  print(`${report.passed} passed, ${report.failures.length} failed`);
  return report.failures.length === 0 && !signal.aborted ? 0 : 1;
}

/** The cases that speak to the shim directly. */
async function runProtocol(
  round: Pick<Round, "selection" | "images" | "report" | "directory" | "environment" | "signal">,
): Promise<void> {
  const { selection, images, report, environment, signal } = round;
  const executable = join(DISTRIBUTION, selection.runtime.program);
  const parent = join(round.directory, "p");
  mkdirSync(parent);
  print(`the shim protocol, ${selection.runtime.program}`);
  const cases = [...protocolCases, ...protocolContainerCases, ...protocolNetworkCases];
  for (const [index, one] of cases.entries()) {
    if (signal.aborted) return;
    if (!selection.only.test(one.name)) continue;
    const ground = { executable, environment, images, signal, directory: join(parent, `${index}`) };
    const passed = await report.run(
      one.name,
      () => leavingNothing(shimScope([parent]), signal, () => runProtocolCase(one, ground)),
      () => "",
    );
    if (!passed) await endStrayProcesses(parent);
  }
}

interface Round {
  readonly build: ContainerdBuild;
  readonly selection: Selection;
  readonly images: Images;
  readonly blockfileScratch: string;
  readonly report: Report;
  readonly directory: string;
  /** Of containerd and the shims. */
  readonly environment: { readonly [name: string]: string };
  readonly signal: AbortSignal;
}

/** All cases on one containerd, which is started for them and stopped after them. */
async function runAgainst(round: Round): Promise<void> {
  const { build, selection, report, environment, signal } = round;
  print(`containerd ${build.version}, runtime ${selection.runtime.name}`);
  const directory = join(round.directory, build.version);
  const scratch = join(round.directory, `scratch-${build.version}`);
  mkdirSync(directory);
  mkdirSync(scratch);
  const containerd = await Containerd.start(
    { build, directory, shims: DISTRIBUTION, blockfileScratch: round.blockfileScratch, environment },
    signal,
  );
  let count = 0;
  const newId = (stem: string): string => `${stem}-${++count}`;
  const ground: Ground = { containerd, runtime: selection.runtime, images: round.images, scratch, signal, newId };
  const scope = scopeOf(containerd, selection.runtime);
  try {
    await containerd.mustCtr(["image", "import", round.images.archive]);
    for (const one of CASES) {
      if (signal.aborted) return;
      if (!selection.only.test(one.name) || one.applies?.(ground) === false) continue;
      const logged = containerd.log().length;
      const passed = await report.run(
        one.name,
        () => leavingNothing(scope, signal, () => one.run(ground)),
        () => `containerd's log:\n${containerd.log().slice(logged).slice(-6000)}`,
      );
      if (!passed) await endStrays(ground);
    }
  } finally {
    await endStrays(ground);
    await containerd.destroy();
  }
}

async function main(): Promise<number> {
  const isolated = isolation();
  if (isolated !== undefined) return await inside(isolated);
  const { runtime } = await select(print);
  checkMachine(runtime);
  return await runIsolated(import.meta.url, process.argv.slice(2), { inMemory: true });
}

try {
  process.exitCode = await main();
} catch (error) {
  process.stderr.write(`e2e: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
