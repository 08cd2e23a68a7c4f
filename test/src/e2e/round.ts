/** What is asked of a run of the suite, and its rounds: cases on one containerd each. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { ContainerdBuild } from "../debian/containerds.ts";
import { DISTRIBUTION } from "../support/programs.ts";
import { Containerd, type ContainerdOptions } from "./containerd.ts";
import type { Images } from "./images.ts";
import { endStrays, scopeOf } from "./scope.ts";
import type { Selection } from "./selection.ts";
import { type Case, type CaseContext, leavingNothing, type Report } from "./suite.ts";

export interface Round {
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

export async function withContainerd(
  round: Round,
  name: string,
  options: Pick<ContainerdOptions, "cri" | "snapshotters" | "sandboxer" | "tables">,
  work: (containerd: Containerd, context: CaseContext) => Promise<void>,
): Promise<void> {
  const { build, selection, images, blockfileScratch, environment, signal } = round;
  const directory = join(round.directory, name);
  const scratch = join(round.directory, `scratch-${name}`);
  mkdirSync(directory);
  mkdirSync(scratch);
  const containerd = await Containerd.start(
    { build, directory, shims: DISTRIBUTION, blockfileScratch, environment, ...options },
    signal,
  );
  let count = 0;
  const newId = (stem: string): string => `${stem}-${++count}`;
  const context: CaseContext = { containerd, runtime: selection.runtime, images, scratch, signal, newId };
  try {
    await work(containerd, context);
  } finally {
    await endStrays(context);
    await containerd.destroy();
  }
}

export async function runCases<G extends CaseContext>(
  round: Round,
  cases: readonly Case<G>[],
  context: G,
): Promise<void> {
  for (const one of cases) {
    if (round.signal.aborted) return;
    await runCase(round, one, context);
  }
}

/** Returns whether all is in order after it: else everything has been ended. */
export async function runCase<G extends CaseContext>(
  { selection, report, signal }: Round,
  one: Case<G>,
  context: G,
): Promise<boolean> {
  if (!selection.takes(one.name) || one.applies?.(context) === false) return true;
  const { containerd } = context;
  const scope = scopeOf(containerd, selection.runtime);
  const logged = containerd.log().length;
  const passed = await report.run(
    one.name,
    () => leavingNothing(scope, signal, () => one.run(context)),
    () => `containerd's log:\n${containerd.log().slice(logged).slice(-6000)}`,
  );
  if (!passed) await endStrays(context);
  return passed;
}

/** Whether a round has anything to do. */
export function hasCases({ takes }: Selection, cases: readonly { readonly name: string }[]): boolean {
  return cases.some(({ name }) => takes(name));
}

export function print(line: string): void {
  process.stdout.write(`${line}\n`);
}
