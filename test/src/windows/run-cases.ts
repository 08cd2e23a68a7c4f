/** Runs suites of cases of the shims' executables on a Windows machine. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { messageOf } from "@uvm-shim/lifecycle";
import type { TestCounts } from "../../../tools/counts.ts";
import type { Outcome } from "../../windows-host/suites/outcome.ts";
import { runSuiteUnderWine } from "../../windows-host/suites/run-under-wine.ts";
import { WindowsMachine, windowsPath } from "../../windows-host/windows-machine.ts";
import { REPOSITORY } from "../../windows-host/wine-environment.ts";
import { cacheFolder } from "../support/cache.ts";
import { type CasePaths, casePathsVariable } from "./case-paths.ts";
import { LinuxSideServer } from "./linux-side-server.ts";
import { PodFixture } from "./pod-fixture.ts";

const SUITES = ["shim", "stdio"];
/** Of whole pods, which need a fixture. */
const POD_SUITES = ["pod", "pod-ends", "pod-refusals", "wcow", "sandboxer", "service"];
/** Those of the suites that run once more on a host that spells the names in its answers in another case. */
const RESPELLED_CASES: { readonly [suite: string]: string } = {
  pod: "the sandbox|reports its state|network",
  wcow: "measures|guard",
};
const SUITE_MS = 600_000;

/** What to run of them: all by default. */
export interface Selection {
  readonly suite: string | undefined;
  /** Pattern of the cases' names. */
  readonly only: string | undefined;
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

/** @param parent an empty directory. */
export async function runCases(parent: string, { suite, only }: Selection): Promise<readonly TestCounts[]> {
  const isChosen = (name: string): boolean => suite === undefined || suite === name;
  const counts: TestCounts[] = [];
  for (const name of SUITES.filter(isChosen)) {
    const directory = join(parent, name);
    mkdirSync(directory);
    await using machine = await WindowsMachine.start({ folders: [directory], network: "shared" });
    counts.push(await runSuite({ machine, name, directory, only }));
  }
  const podSuites = POD_SUITES.filter(isChosen);
  if (podSuites.length > 0) counts.push(...(await runPodSuites(podSuites, parent, only)));
  return counts;
}

/** On a Windows machine and a test host that they share. */
async function runPodSuites(
  names: readonly string[],
  parent: string,
  only: string | undefined,
): Promise<readonly TestCounts[]> {
  const directory = join(parent, "pods");
  mkdirSync(directory);
  await using fixture = await PodFixture.make(directory);
  await using machine = await WindowsMachine.start({
    folders: [directory, fixture.host.directory, cacheFolder("windows-base-layer")],
    network: "shared",
  });
  await using linuxSide = await LinuxSideServer.serve(fixture);
  const pods = { ...fixture.paths, linuxSide: linuxSide.address };
  const counts: TestCounts[] = [];
  for (const name of names) counts.push(await runSuite({ machine, name, directory, only, pods }));
  const respelled = join(directory, "respelled");
  mkdirSync(respelled);
  // Windows' own services differ in the case of the names in their answers.
  fixture.host.spell("swapped");
  for (const [name, cases] of Object.entries(RESPELLED_CASES)) {
    if (!names.includes(name)) continue;
    print("the test host now spells the names in its answers in another case");
    counts.push(await runSuite({ machine, name, directory: respelled, only: only ?? cases, pods }));
  }
  return counts;
}

interface SuiteRun extends Pick<CasePaths, "pods"> {
  readonly machine: WindowsMachine;
  readonly name: string;
  readonly directory: string;
  readonly only: string | undefined;
}

/** A suite that does not come to its end has failed once. */
async function runSuite({ machine, name, directory, only, pods }: SuiteRun): Promise<TestCounts> {
  print(`the shims' executables under Wine: ${name}`);
  const paths: CasePaths = {
    executables: windowsPath(join(REPOSITORY, "dist", "win32-x64")),
    directory: windowsPath(directory),
    ...(pods && { pods }),
  };
  try {
    const outcomes = await runSuiteUnderWine({
      suite: fileURLToPath(new URL(`${name}.suite.ts`, import.meta.url)),
      machine,
      folder: directory,
      environment: { [casePathsVariable]: JSON.stringify(paths) },
      ...(only === undefined ? {} : { pattern: only }),
      timeoutMs: SUITE_MS,
    });
    return count(only === undefined ? outcomes : outcomes.filter(({ state }) => state !== "skipped"));
  } catch (error) {
    print(`  FAIL  ${messageOf(error)}`);
    return { passed: 0, failed: 1, skipped: 0 };
  }
}

function count(outcomes: readonly Outcome[]): TestCounts {
  const words = { passed: "ok   ", failed: "FAIL ", skipped: "skip " };
  for (const { name, state, milliseconds, errors } of outcomes) {
    print(`  ${words[state]} ${name} (${(milliseconds / 1000).toFixed(2)} s)`);
    for (const error of errors) print(error.replaceAll(/^/gm, "        "));
  }
  const of = (state: Outcome["state"]): number => outcomes.filter((outcome) => outcome.state === state).length;
  return { passed: of("passed"), failed: of("failed"), skipped: of("skipped") };
}
