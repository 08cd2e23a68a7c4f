/** All checks of installed packages, in the order in which the project comes to have what they need. */
import { lowestNode } from "../../../tools/check/package-manifests.ts";
import { checkExamples } from "./check-examples.ts";
import { contentProblems } from "./contents.ts";
import { noteDiagnostics } from "./diagnostics.ts";
import { importEntry } from "./imports.ts";
import { publintProblems, typesWrong } from "./linters.ts";
import { inParallel } from "./parallel.ts";
import { programProblems } from "./programs.ts";
import { Report } from "./report.ts";
import { entriesOf, readPublishedManifest } from "./tarballs.ts";
import type { Installed, Task } from "./task.ts";
import { importingProgram, typeErrors, typeErrorsAlone } from "./types.ts";

export async function checkPackages(task: Task): Promise<Report> {
  const { consumer, step } = task;
  const packages = task.packages.map((each): Installed => {
    const folder = consumer.packageFolder(each.name);
    const manifest = readPublishedManifest(folder);
    return { ...each, folder, manifest, node: lowestNode(manifest.engines?.node ?? "") };
  });
  const report = new Report([...packages.map(({ name }) => name), "(dependencies)"]);
  step("reading the tarballs");
  for (const each of packages) {
    report.add(each.name, "contents", contentProblems(each.name, each.folder, each.manifest));
    report.add(each.name, "publint", await publintProblems(each.tarball));
    report.add(each.name, "attw", await typesWrong(each.tarball));
  }
  step("importing the entries");
  const entries = packages.flatMap(({ name, manifest, node }) =>
    entriesOf(name, manifest).map((entry) => ({ name, entry, node })),
  );
  const afterVitest = await importAll(task, report, entries);
  step("checking their types");
  await checkTypes(
    task,
    report,
    entries.filter((each) => !afterVitest.includes(each)),
  );
  step("installing vitest, and the same for the entries that ask for it");
  const vitestNode = await consumer.installVitest();
  for (const { name, entry } of await importAll(task, report, afterVitest, vitestNode)) {
    report.failed(name, "imports", `${entry}: it does not find vitest, which is installed`);
  }
  await checkTypes(task, report, afterVitest);
  step("starting the programs");
  for (const { name, manifest, node: oldest } of packages) {
    for (const bin of Object.keys(manifest.bin ?? {})) {
      for (const node of task.nodes.for(oldest))
        report.add(name, "programs", await programProblems(consumer, bin, node));
    }
  }
  step("compiling and running the examples");
  await checkExamples(task, report, packages);
  return report;
}

interface Entry {
  readonly name: string;
  readonly entry: string;
  /** The oldest Node that its package runs on. */
  readonly node: string;
}

/** Returns those that ask for vitest, which is not there. */
async function importAll(
  { consumer, nodes }: Task,
  report: Report,
  entries: readonly Entry[],
  ...needed: readonly string[]
): Promise<readonly Entry[]> {
  const imported = await inParallel(entries, async (each) => ({
    each,
    ...(await importEntry(consumer, each.entry, nodes.for(each.node, ...needed))),
  }));
  for (const { each, needsVitest, problems } of imported) if (!needsVitest) report.add(each.name, "imports", problems);
  return imported.filter(({ needsVitest }) => needsVitest).map(({ each }) => each);
}

/** By the newest compiler a program for each package too, so that none lives on another's declarations. */
async function checkTypes({ consumer }: Task, report: Report, entries: readonly Entry[]): Promise<void> {
  const byPackage = Map.groupBy(entries, ({ name }) => name);
  const programs = new Map([...byPackage.keys()].map((name) => [name, `types/${name.replace(/^.*\//, "")}.ts`]));
  await inParallel([...programs], async ([name, file]) => {
    const own = byPackage.get(name)?.map(({ entry }) => entry) ?? [];
    consumer.write(file, importingProgram(own));
    const alone = await typeErrorsAlone(consumer, file);
    report.add(
      name,
      "types",
      alone.map(({ text }) => `alone, ${text}`),
    );
  });
  const files = [...programs.values()];
  if (files.length === 0) return;
  noteDiagnostics(report, "types", await typeErrors(consumer, files), files);
}
