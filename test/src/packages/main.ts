/**
 * Packs every package, installs the tarballs in an empty project, and uses each as somebody would: imports of every entry on
 * Node 22 and the pinned Node, a program that imports all of them under two compilers and two resolutions without
 * skipLibCheck, and the examples of the READMEs. Prints a table.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { root } from "../../../tools/workspace.ts";
import { type Example, examplesOf } from "./examples.ts";
import { lacksOf, lint, type PackedManifest, packAll, type Tarball } from "./tarballs.ts";
import { execute, installOptions, installTools, toolPaths } from "./tools.ts";

const columns = [
  "packed",
  "lint",
  "node 22",
  `node ${process.versions.node.split(".")[0]}`,
  "types",
  "examples",
] as const;
type Column = (typeof columns)[number];

/** What went wrong, by package and column. */
const wrong = new Map<string, string[]>();
const at = (name: string, column: Column): string => `${name} ${column}`;
function report(name: string, column: Column, problems: readonly string[]): void {
  wrong.set(at(name, column), [...(wrong.get(at(name, column)) ?? []), ...problems]);
}
const messageOf = (error: unknown): string => {
  const { stderr = "", stdout = "", message } = error as { stderr?: string; stdout?: string; message: string };
  return `${stdout}${stderr}`.trim() || message;
};

const folder = mkdtempSync(join(tmpdir(), "uvm-shim-packages-"));
const installed = (name: string): string => join(folder, "node_modules", name);
try {
  await installTools();
  const packs = join(folder, "packs");
  mkdirSync(packs);
  const tarballs = await packAll(packs);
  await refuseNpm();
  writeFileSync(join(folder, "package.json"), '{"type":"module","private":true}');
  const { vitest } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")).devDependencies;
  await execute("npm", [...installOptions, ...tarballs.map(({ file }) => file), `vitest@${vitest}`], { cwd: folder });
  const entries = new Map(tarballs.map((tarball) => [tarball.name, entriesOf(tarball)]));
  for (const tarball of tarballs) report(tarball.name, "lint", await lint(tarball));
  await importAll(entries, "node 22", toolPaths.node22);
  await importAll(entries, columns[3], process.execPath);
  const examples = new Map(tarballs.map(({ name, folder }) => [name, examplesOf(folder)]));
  await checkTypes(entries, examples);
  const counts = await runExamples(examples);
  print(tarballs, counts);
} finally {
  rmSync(folder, { recursive: true, force: true });
}

async function refuseNpm(): Promise<void> {
  const where = join(root, "packages", "lifecycle");
  const said = await execute("npm", ["pack", "--dry-run"], { cwd: where }).then(() => "packed", messageOf);
  report("@uvm-shim/lifecycle", "packed", said.includes("is not packed: pack and publish with pnpm") ? [] : [said]);
}

function entriesOf({ name }: Tarball): readonly string[] {
  const manifest: PackedManifest = JSON.parse(readFileSync(join(installed(name), "package.json"), "utf8"));
  report(name, "packed", lacksOf(installed(name), manifest));
  return Object.keys(manifest.exports).map((entry) => name + entry.slice(1));
}

/** Suites of vitest can be imported in vitest alone. */
function isSuite(entry: string): boolean {
  return entry.endsWith("/testing/contract");
}

async function importAll(entries: ReadonlyMap<string, readonly string[]>, column: Column, node: string): Promise<void> {
  for (const [name, all] of entries) {
    const code = all.filter((entry) => !isSuite(entry)).map((entry) => `await import("${entry}");`);
    const failure = await execute(node, ["--input-type=module", "-e", code.join("\n")], { cwd: folder }).then(
      () => [],
      (error) => [messageOf(error)],
    );
    report(name, column, failure);
  }
}

async function checkTypes(
  entries: ReadonlyMap<string, readonly string[]>,
  examples: ReadonlyMap<string, readonly Example[]>,
): Promise<void> {
  const source = join(folder, "source");
  mkdirSync(source);
  for (const [name, all] of entries) {
    const lines = all
      .filter((entry) => !isSuite(entry))
      .map((entry, index) => `export * as e${index} from "${entry}";`);
    writeFileSync(join(source, `${name.replace("@uvm-shim/", "")}.ts`), `${lines.join("\n")}\n`);
  }
  for (const each of [...examples.values()].flat())
    writeFileSync(join(source, each.file), `${each.code}\nexport {};\n`);
  for (const [compiler, label] of [
    [toolPaths.typescript5, "5.9"],
    [toolPaths.typescript7, "7"],
  ] as const) {
    for (const [module, moduleResolution] of [
      ["node16", "node16"],
      ["esnext", "bundler"],
    ]) {
      const options = {
        target: "es2022",
        lib: ["es2024"],
        strict: true,
        skipLibCheck: false,
        types: [],
        rootDir: "source",
      };
      const compilerOptions = { ...options, module, moduleResolution, outDir: `out-${label}-${module}` };
      writeFileSync(join(folder, "tsconfig.json"), JSON.stringify({ compilerOptions, include: ["source"] }));
      const said = await execute(process.execPath, [compiler, "-p", folder, "--pretty", "false"], {
        cwd: folder,
        maxBuffer: 64 << 20,
      }).then(({ stdout }) => stdout, messageOf);
      for (const line of said.split("\n").filter((text) => text.includes("error TS"))) {
        const name = [...entries.keys()]
          .toSorted((a, b) => b.length - a.length)
          .find((each) => {
            const short = each.replace("@uvm-shim/", "");
            return line.includes(`${each}/`) || new RegExp(`source/${short}(-\\d+)?\\.ts`).test(line);
          });
        report(name ?? "others", "types", [`TypeScript ${label}, ${moduleResolution}: ${line}`]);
      }
    }
  }
}

async function runExamples(examples: ReadonlyMap<string, readonly Example[]>): Promise<ReadonlyMap<string, string>> {
  const counts = new Map<string, string>();
  for (const [name, all] of examples) {
    let ran = 0;
    let without = 0;
    for (const { file, output, needsRoot } of all) {
      if (output === undefined) continue;
      if (needsRoot && process.getuid?.() !== 0) {
        without += 1;
        continue;
      }
      ran += 1;
      const path = join(folder, "out-5.9-node16", file.replace(/ts$/, "js"));
      const said = await execute(toolPaths.node22, [path], { cwd: folder, timeout: 60_000 }).then(
        ({ stdout }) => stdout,
        messageOf,
      );
      if (said.trim() !== output.trim())
        report(name, "examples", [`${file} printed:\n${said}\ninstead of:\n${output}`]);
    }
    const rest = all.length - ran - without;
    const parts = [ran > 0 && `${ran} run`, rest > 0 && `${rest} compiled`, without > 0 && `${without} need root`];
    counts.set(name, parts.filter((part) => part !== false).join(", ") || "none");
  }
  return counts;
}

function print(tarballs: readonly Tarball[], counts: ReadonlyMap<string, string>): void {
  const width = Math.max(...tarballs.map(({ name }) => name.length));
  const row = (cells: readonly string[]): string =>
    cells
      .map((cell, index) => cell.padEnd(index === 0 ? width : 10))
      .join("  ")
      .trimEnd();
  process.stdout.write(`${row(["package", ...columns])}\n`);
  let [passed, failed] = [0, 0];
  for (const name of [
    ...tarballs.map((tarball) => tarball.name),
    ...(wrong.has(at("others", "types")) ? ["others"] : []),
  ]) {
    const cells = columns.map((column) => {
      const isRight = (wrong.get(at(name, column)) ?? []).length === 0;
      if (isRight) passed += 1;
      else failed += 1;
      return !isRight ? "FAILED" : column === "examples" ? (counts.get(name) ?? "") : "ok";
    });
    process.stdout.write(`${row([name, ...cells])}\n`);
  }
  for (const [where, problems] of wrong) {
    for (const problem of problems.slice(0, 8)) process.stdout.write(`${where}: ${problem}\n`);
  }
  process.stdout.write(`${passed} passed, ${failed} failed\n`);
  if (failed > 0) process.exitCode = 1;
}
