/** Compiles the examples of READMEs, and runs those that show their output. */
import { join } from "node:path";
import { messageOf } from "@uvm-shim/lifecycle";
import { describe, runCommand } from "@uvm-shim/test-support/command";
import { importsOf } from "../../../tools/check/import-scan.ts";
import { lowestNode } from "../../../tools/check/package-manifests.ts";
import { noteDiagnostics } from "./diagnostics.ts";
import { type Example, examplesOf, outputProblems, placeOf, programOf } from "./examples.ts";
import { inParallel } from "./parallel.ts";
import { InstalledHost } from "./programs.ts";
import type { Report } from "./report.ts";
import type { Runtime } from "./runtimes.ts";
import { readPublishedManifest } from "./tarballs.ts";
import type { Installed, Task } from "./task.ts";
import { emit, typeErrors } from "./types.ts";

const exampleTimeoutMs = 60_000;
const emulator = "@uvm-shim/host-emulator";

export async function checkExamples(task: Task, report: Report, packages: readonly Installed[]): Promise<void> {
  const { consumer, step } = task;
  const examples = packages.flatMap(({ name, folder }) => examplesOf(name, folder));
  if (examples.length === 0) return;
  const files = examples.map((example) => `examples/${placeOf(example)}.ts`);
  for (const example of examples) consumer.write(`examples/${placeOf(example)}.ts`, programOf(example));
  const found = await typeErrors(consumer, files, { types: ["node"], skipLibCheck: true });
  noteDiagnostics(report, "examples", found, files);
  const shown = examples.filter(({ output }) => output !== undefined);
  step(`${shown.length} of ${examples.length} examples show their output`);
  await emit(consumer, files, "examples", "built");
  await runExamples(task, report, shown);
}

async function runExamples(task: Task, report: Report, examples: readonly Example[]): Promise<void> {
  const { step, nodes } = task;
  const usesHost = ({ source }: Example): boolean => source.includes("resolveHost(");
  const isRoot = process.getuid?.() === 0;
  const run = isRoot ? examples : examples.filter((example) => !usesHost(example));
  if (run.length < examples.length) step(`${examples.length - run.length} of them are left out: hosts need root`);
  for (const which of [0, 1] as const) {
    const needsHost = run.some(usesHost);
    const host = needsHost ? await startHost(task, report, nodes.for(nodeOf(task, emulator))[which]) : undefined;
    await inParallel(run, async (example) => {
      const node = nodes.for(...packagesOf(example).map((name) => nodeOf(task, name)))[which];
      report.add(example.package, "examples", await runExample(task, example, node, host));
    });
    if (host !== undefined) report.add(emulator, "programs", await host.close());
  }
}

/** The packages that an example imports, each of which may need a later Node than its own package. */
function packagesOf(example: Example): readonly string[] {
  const imported = importsOf("example.ts", example.source).map(({ specifier }) => specifier);
  const ours = imported.filter((specifier) => specifier.startsWith("@uvm-shim/"));
  return [...new Set([example.package, ...ours.map((specifier) => specifier.split("/").slice(0, 2).join("/"))])];
}

/** The oldest Node that a package runs on. */
function nodeOf({ consumer }: Task, name: string): string {
  return lowestNode(readPublishedManifest(consumer.packageFolder(name)).engines?.node ?? "");
}

async function startHost({ consumer }: Task, report: Report, node: Runtime): Promise<InstalledHost | undefined> {
  try {
    return await InstalledHost.start(consumer, node);
  } catch (error) {
    report.failed(emulator, "programs", `on ${node.title}: ${messageOf(error)}`);
    return undefined;
  }
}

async function runExample(
  { consumer }: Task,
  example: Example,
  node: Runtime,
  host: InstalledHost | undefined,
): Promise<readonly string[]> {
  const program = join(consumer.folder, "built", `${placeOf(example)}.js`);
  const environment = { ...process.env, UVM_SHIM_HOST: host === undefined ? "none" : `unix:${host.socketPath}` };
  const result = await runCommand(node.program, [program], {
    ...{ directory: consumer.folder, environment, timeoutMs: exampleTimeoutMs },
  });
  const where = `README.md:${example.line} on ${node.title}`;
  if (result.status !== 0) return [`${where}: ${describe(result)}`];
  return outputProblems(example.output ?? "", result.stdout.toString("utf8")).map((problem) => `${where}: ${problem}`);
}
