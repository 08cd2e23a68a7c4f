/** Runs suites that are written for vitest in Node for Windows under Wine. */
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { describeCounts } from "../../../tools/counts.ts";
import { type WindowsMachine, windowsPath } from "../windows-machine.ts";
import type { WindowsTestHost } from "../windows-test-host.ts";
import { REPOSITORY, WINDOWS_NODE } from "../wine-environment.ts";
import type { Outcome } from "./outcome.ts";
import { type TestHostPaths, testHostVariable, thoroughVariable } from "./test-host-paths.ts";

/** Young objects have as little room as in the shims: growth of that room is not to be taken for a leak. */
const nodeOptions = ["--enable-source-maps", "--max-semi-space-size=2"];

export interface SuiteRun {
  /** Path of the suite's source. */
  readonly suite: string;
  readonly machine: WindowsMachine;
  /** A folder that the machine sees. */
  readonly folder: string;
  readonly environment?: Readonly<Record<string, string>>;
  /** Names of the tests to run; all by default. */
  readonly pattern?: string;
  readonly timeoutMs: number;
}

/** Rejects with what the process said when it did not run the suite to its end. */
export async function runSuiteUnderWine(run: SuiteRun): Promise<readonly Outcome[]> {
  const { suite, machine, folder, environment = {}, pattern, timeoutMs } = run;
  const program = join(folder, `${basename(suite, ".ts")}.mjs`);
  const runner = fileURLToPath(new URL("run-suite.ts", import.meta.url));
  const entry = `import { runSuite } from ${JSON.stringify(runner)};
    await runSuite(${JSON.stringify(basename(suite))}, () => import(${JSON.stringify(suite)}));`;
  await bundleForWindows(entry, program);
  const { status, stdout, stderr } = await machine.run({
    program: WINDOWS_NODE,
    args: [...nodeOptions, windowsPath(program), ...(pattern === undefined ? [] : [pattern])],
    environment,
    timeoutMs,
  });
  process.stdout.write(stderr);
  const lines = stdout
    .toString()
    .split(/\r?\n/)
    .filter((line) => line !== "");
  const outcomes = lines.map((line) => JSON.parse(line) as Outcome);
  if (status !== 0) {
    const last = outcomes.at(-1)?.name ?? "none";
    throw new Error(`${suite} ended with ${status} after ${outcomes.length} tests, the last ${last}:\n${stderr}`);
  }
  return outcomes;
}

/** The environment by which a program finds its test host; the folder is for the program's own files. */
export function testHostEnvironment(host: WindowsTestHost, files: string): Readonly<Record<string, string>> {
  const paths: TestHostPaths = {
    libraries: windowsPath(host.libraries),
    files: windowsPath(files),
    boot: {
      KernelFilePath: windowsPath(host.boot.KernelFilePath),
      InitRdPath: windowsPath(host.boot.InitRdPath),
    },
  };
  const { [thoroughVariable]: thorough } = process.env;
  return { [testHostVariable]: JSON.stringify(paths), ...(thorough && { [thoroughVariable]: thorough }) };
}

/** `N passed, N failed`, and each failure. */
export function report(outcomes: readonly Outcome[]): string {
  const failed = outcomes.filter(({ state }) => state !== "passed");
  const summary = describeCounts({ passed: outcomes.length - failed.length, failed: failed.length });
  return [summary, ...failed.map(({ name, state, errors }) => `${state}: ${name}\n${errors.join("\n")}`)].join("\n");
}

/** One file that Node for Windows runs. koffi, which is not bundled, is that of this repository. */
export async function bundleForWindows(source: string, outfile: string): Promise<void> {
  const bindings = JSON.stringify(windowsPath(join(REPOSITORY, "packages/hcs-bindings/package.json")));
  await build({
    stdin: { contents: source, resolveDir: REPOSITORY, loader: "ts" },
    outfile,
    bundle: true,
    platform: "node",
    format: "esm",
    target: "node26",
    sourcemap: "inline",
    logLevel: "error",
    banner: {
      js: `import { createRequire } from "node:module"; const requireOfBindings = createRequire(${bindings});`,
    },
    plugins: [
      {
        name: "koffi",
        setup({ onResolve, onLoad }) {
          onResolve({ filter: /^koffi$/ }, () => ({ path: "koffi", namespace: "outside" }));
          onLoad({ filter: /^koffi$/, namespace: "outside" }, () => ({
            contents: 'export default requireOfBindings("koffi");',
            loader: "js",
          }));
        },
      },
    ],
  });
}
