/** Type-checks the TypeScript of Markdown documents against the sources of the packages that it imports. */
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import MarkdownIt from "markdown-it";
import { manifests, root } from "../workspace.ts";
import type { Problem } from "./problem.ts";

const markdown = new MarkdownIt();
const diagnostic = /^(?<file>.+)\.\d+\.ts\((?<line>\d+),\d+\): error (?<what>.*)$/;

/** The compiler's errors about the examples in documents, by path. */
export function exampleProblems(documents: ReadonlyMap<string, string>): readonly Problem[] {
  const folder = mkdtempSync(join(tmpdir(), "uvm-shim-examples-"));
  try {
    for (const [file, text] of documents) writeExamples(folder, file, text);
    const configuration = {
      extends: join(root, "tsconfig.base.json"),
      compilerOptions: { paths: packageEntries(), typeRoots: [join(root, "node_modules/@types")] },
      include: ["**/*.ts"],
    };
    writeFileSync(join(folder, "tsconfig.json"), JSON.stringify(configuration));
    writeFileSync(join(folder, "package.json"), '{"type":"module"}');
    const tsc = join(root, "node_modules/.bin/tsc");
    const { status, stdout, error } = spawnSync(tsc, ["-p", folder, "--pretty", "false"], {
      cwd: folder,
      encoding: "utf8",
      shell: process.platform === "win32",
    });
    if (error !== undefined) throw error;
    const problems = stdout.split("\n").flatMap(problemOf);
    if (status !== 0 && problems.length === 0) throw new Error(`tsc failed on the examples of documents:\n${stdout}`);
    return problems;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Each block as a module in which it has the lines that it has in its document. */
function writeExamples(folder: string, file: string, text: string): void {
  for (const { type, info, map, content } of markdown.parse(text, {})) {
    if (type !== "fence" || !/^(ts|typescript)\b/.test(info) || map === null) continue;
    const example = join(folder, `${file}.${map[0]}.ts`);
    mkdirSync(dirname(example), { recursive: true });
    writeFileSync(example, `${"\n".repeat(map[0] + 1)}${content}`);
  }
}

function packageEntries(): Readonly<Record<string, readonly string[]>> {
  const entries = [...manifests()].flatMap(([folder, { name, exports = {} }]) =>
    Object.entries(exports).map(([subpath, entry]) => [name + subpath.slice(1), [join(root, folder, entry)]] as const),
  );
  return Object.fromEntries(entries);
}

function problemOf(line: string): readonly Problem[] {
  const { file, line: at, what } = diagnostic.exec(line)?.groups ?? {};
  return file === undefined || what === undefined ? [] : [{ file, line: Number(at), what: `example: ${what}` }];
}
