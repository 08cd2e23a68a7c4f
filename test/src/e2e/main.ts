/**
 * The containerd suite: `node test/src/e2e/main.ts [--runtime lcow|runc] [--containerd 1.6,1.7,2.1] [--only <pattern>]`.
 * Prints a line for each case and, last, how many passed and failed; its exit code says whether all passed.
 */
import { existsSync, mkdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { type ContainerdBuild, findContainerds, WANTED } from "../debian/containerds.ts";
import { findProgram } from "../support/command.ts";
import { makeExt4 } from "../support/disk.ts";
import { type Isolation, isolation, runIsolated } from "../support/isolate.ts";
import { eventCases } from "./cases/events.ts";
import { inputCases } from "./cases/input.ts";
import { runningCases } from "./cases/running.ts";
import { sandboxCases } from "./cases/sandbox.ts";
import { snapshotterCases } from "./cases/snapshotters.ts";
import { stdioCases } from "./cases/stdio.ts";
import { Containerd } from "./containerd.ts";
import { type Images, makeImages } from "./images.ts";
import { PACKAGES } from "./packages.ts";
import { endStrays, scopeOf } from "./scope.ts";
import { type Case, type Ground, leavingNothing, Report, RUNTIMES, type Runtime } from "./suite.ts";

const DISTRIBUTION = join(dirname(fileURLToPath(import.meta.url)), "..", "..", "..", "dist", "linux-x64");
const CASES: readonly Case[] = [
  ...runningCases,
  ...stdioCases,
  ...eventCases,
  ...snapshotterCases,
  ...inputCases,
  ...sandboxCases,
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

/** Says what the machine lacks, before anything is started. */
function checkMachine(runtime: Runtime): void {
  if (process.getuid?.() !== 0) throw new Error("the suite needs root: it runs containerd, which mounts");
  const missing = PACKAGES.filter((one) => findProgram(one.program) === undefined).map((one) => one.name);
  if (missing.length > 0) throw new Error(`programs are missing: apt-get install ${missing.join(" ")}`);
  if (runtime.key === "lcow" && !existsSync(join(DISTRIBUTION, runtime.program))) {
    throw new Error(`${join(DISTRIBUTION, runtime.program)} is missing: npm run build makes it`);
  }
}

async function inside({ directory, signal }: Isolation): Promise<number> {
  const selection = await select(() => undefined);
  const report = new Report(print);
  const images = await makeImages(join(directory, "images"));
  const blockfileScratch = join(directory, "blockfile.ext4");
  await makeExt4(blockfileScratch, 64);
  for (const build of selection.builds) {
    if (signal.aborted) break;
    await runAgainst({ build, selection, images, blockfileScratch, report, directory, signal });
  }
  if (signal.aborted) print("interrupted");
  for (const failure of report.failures) print(`failed: ${failure}`);
  print(`${report.passed} passed, ${report.failures.length} failed`);
  return report.failures.length === 0 && !signal.aborted ? 0 : 1;
}

interface Round {
  readonly build: ContainerdBuild;
  readonly selection: Selection;
  readonly images: Images;
  readonly blockfileScratch: string;
  readonly report: Report;
  readonly directory: string;
  readonly signal: AbortSignal;
}

/** All cases on one containerd, which is started for them and stopped after them. */
async function runAgainst(round: Round): Promise<void> {
  const { build, selection, report, signal } = round;
  print(`containerd ${build.version}, runtime ${selection.runtime.name}`);
  const directory = join(round.directory, build.version);
  const scratch = join(round.directory, "scratch");
  mkdirSync(directory);
  mkdirSync(scratch, { recursive: true });
  const containerd = await Containerd.start(
    { build, directory, shims: DISTRIBUTION, blockfileScratch: round.blockfileScratch, environment: HOST_ENVIRONMENT },
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

const HOST_ENVIRONMENT = { UVM_SHIM_HOST_IDLE_MS: "300" };

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
