/** All checks of installed packages, in the order in which the project comes to have what they need. */
import { join } from "node:path";
import { messageOf } from "@uvm-shim/lifecycle";
import { describe, runCommand } from "@uvm-shim/test-support/command";
import type { Consumer, Runtime } from "./consumer.ts";
import { contentProblems } from "./contents.ts";
import { type Example, examplesOf, outputProblems, placeOf, programOf } from "./examples.ts";
import { importEntry } from "./imports.ts";
import { publintProblems, typesWrong } from "./linters.ts";
import { InstalledHost, programProblems } from "./programs.ts";
import { type Check, Report } from "./report.ts";
import { entriesOf, type Published, type PublishedManifest, readPublishedManifest } from "./tarballs.ts";
import { type Diagnostic, emit, importingProgram, typeErrors, typeErrorsAlone } from "./types.ts";

const exampleTimeoutMs = 60_000;

interface Task {
  readonly consumer: Consumer;
  readonly packages: readonly Published[];
  readonly nodes: readonly Runtime[];
  readonly step: (what: string) => void;
}

interface Installed extends Published {
  readonly folder: string;
  readonly manifest: PublishedManifest;
}

export async function checkPackages(task: Task): Promise<Report> {
  const { consumer, step } = task;
  const packages = task.packages.map((each): Installed => {
    const folder = consumer.packageFolder(each.name);
    return { ...each, folder, manifest: readPublishedManifest(folder) };
  });
  const report = new Report([...packages.map(({ name }) => name), "(dependencies)"]);
  step("reading the tarballs");
  for (const each of packages) {
    report.add(each.name, "contents", contentProblems(each.name, each.folder, each.manifest));
    report.add(each.name, "publint", await publintProblems(each.tarball));
    report.add(each.name, "attw", await typesWrong(each.tarball));
  }
  step("importing the entries");
  const entries = packages.flatMap(({ name, manifest }) => entriesOf(name, manifest).map((entry) => ({ name, entry })));
  const afterVitest = await importAll(task, report, entries);
  step("checking their types");
  await checkTypes(
    task,
    report,
    entries.filter((each) => !afterVitest.includes(each)),
  );
  step("installing vitest, and the same for the entries that ask for it");
  await consumer.installVitest();
  for (const { name, entry } of await importAll(task, report, afterVitest)) {
    report.failed(name, "imports", `${entry}: it does not find vitest, which is installed`);
  }
  await checkTypes(task, report, afterVitest);
  step("starting the programs");
  for (const { name, manifest } of packages) {
    for (const bin of Object.keys(manifest.bin ?? {})) {
      for (const node of task.nodes) report.add(name, "programs", await programProblems(consumer, bin, node));
    }
  }
  step("compiling and running the examples");
  await checkExamples(task, report, packages);
  return report;
}

interface Entry {
  readonly name: string;
  readonly entry: string;
}

/** Returns those that ask for vitest, which is not there. */
async function importAll(
  { consumer, nodes }: Task,
  report: Report,
  entries: readonly Entry[],
): Promise<readonly Entry[]> {
  const afterVitest: Entry[] = [];
  for (const each of entries) {
    const { needsVitest, problems } = await importEntry(consumer, each.entry, nodes);
    if (needsVitest) afterVitest.push(each);
    else report.add(each.name, "imports", problems);
  }
  return afterVitest;
}

/** By the newest compiler a program for each package too, so that none lives on another's declarations. */
async function checkTypes({ consumer }: Task, report: Report, entries: readonly Entry[]): Promise<void> {
  const byPackage = Map.groupBy(entries, ({ name }) => name);
  const programs = new Map([...byPackage.keys()].map((name) => [name, `types/${name.replace(/^.*\//, "")}.ts`]));
  for (const [name, file] of programs) {
    const own = byPackage.get(name)?.map(({ entry }) => entry) ?? [];
    consumer.write(file, importingProgram(own));
    const alone = await typeErrorsAlone(consumer, file);
    report.add(
      name,
      "types",
      alone.map(({ text }) => `alone, ${text}`),
    );
  }
  const files = [...programs.values()];
  if (files.length === 0) return;
  noteDiagnostics(report, "types", await typeErrors(consumer, files), files);
}

/** Each error belongs to the package in whose declarations or program it is. */
function noteDiagnostics(report: Report, check: Check, found: readonly Diagnostic[], files: readonly string[]): void {
  const packageOf = (file: string): string => {
    const own = /^(?:node_modules\/@uvm-shim|types|examples)\/([^/]+?)(?:\.ts|\/)/.exec(file)?.[1];
    return own === undefined ? "(dependencies)" : `@uvm-shim/${own}`;
  };
  for (const { file, text } of found) report.failed(packageOf(file), check, text);
  for (const name of new Set(files.map(packageOf))) {
    if (!found.some(({ file }) => packageOf(file) === name)) report.held(name, check);
  }
}

async function checkExamples(task: Task, report: Report, packages: readonly Installed[]): Promise<void> {
  const { consumer, nodes, step } = task;
  const examples = packages.flatMap(({ name, folder }) => examplesOf(name, folder));
  if (examples.length === 0) return;
  const files = examples.map((example) => `examples/${placeOf(example)}.ts`);
  for (const example of examples) consumer.write(`examples/${placeOf(example)}.ts`, programOf(example));
  const found = await typeErrors(consumer, files, { types: ["node"], skipLibCheck: true });
  noteDiagnostics(report, "examples", found, files);
  const run = examples.filter(({ output }) => output !== undefined);
  step(`${run.length} of ${examples.length} examples show their output`);
  await emit(consumer, files, "examples", "built");
  for (const node of nodes) {
    const host = await startHost(task, report, node);
    for (const example of run) report.add(example.package, "examples", await runExample(consumer, example, node, host));
    if (host !== undefined) report.add("@uvm-shim/host-emulator", "programs", await host.close());
  }
}

async function startHost(
  { consumer, packages, step }: Task,
  report: Report,
  node: Runtime,
): Promise<InstalledHost | undefined> {
  if (!packages.some(({ name }) => name === "@uvm-shim/host-emulator")) return undefined;
  if (process.getuid?.() !== 0) {
    step("no emulated host is started: it needs root");
    return undefined;
  }
  try {
    return await InstalledHost.start(consumer, node);
  } catch (error) {
    report.failed("@uvm-shim/host-emulator", "programs", `on ${node.title}: ${messageOf(error)}`);
    return undefined;
  }
}

async function runExample(
  consumer: Consumer,
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
