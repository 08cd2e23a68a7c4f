/** What is asked of a run of the suite, and its rounds: cases on one containerd each. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { ContainerdBuild } from "../debian/containerds.ts";
import { DISTRIBUTION } from "../support/programs.ts";
import { Containerd, type ContainerdOptions, type PodForm } from "./containerd.ts";
import type { Images } from "./images.ts";
import { endStrays, scopeOf } from "./scope.ts";
import { type Case, type CaseContext, leavingNothing, type Report, type Runtime } from "./suite.ts";

export interface Selection {
  readonly runtime: Runtime;
  readonly only: RegExp;
  readonly builds: readonly ContainerdBuild[];
  /** Leaves out all but the cases with pods of this form. */
  readonly form: PodForm | undefined;
}

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
  const { selection, report, signal } = round;
  const { containerd } = context;
  const scope = scopeOf(containerd, selection.runtime);
  for (const one of cases) {
    if (signal.aborted) return;
    if (!selection.only.test(one.name) || one.applies?.(context) === false) continue;
    const logged = containerd.log().length;
    const passed = await report.run(
      one.name,
      () => leavingNothing(scope, signal, () => one.run(context)),
      () => `containerd's log:\n${containerd.log().slice(logged).slice(-6000)}`,
    );
    if (!passed) await endStrays(context);
  }
}

export function print(line: string): void {
  process.stdout.write(`${line}\n`);
}
