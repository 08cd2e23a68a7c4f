/**
 * Runs a suite in this process, with vitest's own runner but without its server, whose native parts are those of other
 * machines. Each test's outcome is a line of JSON on standard output.
 */
import { writeSync } from "node:fs";
import type { RunnerTask } from "vitest";
import { startTests } from "vitest/internal/browser";
import type { Outcome } from "./outcome.ts";

type Runner = Parameters<typeof startTests>[1];

/** With the names' pattern as the program's first argument; ends the process. */
export async function runSuite(name: string, load: () => Promise<unknown>): Promise<void> {
  const [, , pattern] = process.argv;
  const config = {
    root: ".",
    setupFiles: [],
    passWithNoTests: false,
    testNamePattern: pattern === undefined ? undefined : new RegExp(pattern),
    allowOnly: false,
    sequence: { shuffle: false, concurrent: false, hooks: "stack", setupFiles: "list" },
    maxConcurrency: 1,
    testTimeout: 60_000,
    hookTimeout: 60_000,
    retry: 0,
    repeats: 0,
    includeTaskLocation: false,
    tags: [],
    strictTags: false,
    taskTitleValueFormatTruncate: 40,
    expect: {},
  };
  // What `expect` and `vi` look up while tests run.
  const worker = { config, ctx: { pool: "forks" }, environment: { name: "node" }, rpc: {} };
  Object.defineProperty(globalThis, "__vitest_worker__", { value: worker });
  const runner = { config, pool: "forks", importFile: load, onAfterRunTask: report } as unknown as Runner;
  // As vitest's own processes do, this one waits also for what keeps no process alive by itself.
  setInterval(() => {}, 2 ** 31 - 1);
  const files = await startTests([name], runner);
  for (const file of files) tellFailedHooks(file);
  process.exit(0);
}

/** Tests report themselves; files and groups also fail outside of any test, and their tests then report nothing. */
function tellFailedHooks(task: RunnerTask): void {
  if (task.type !== "suite") return;
  if ((task.result?.errors?.length ?? 0) > 0) report(task);
  for (const each of task.tasks) tellFailedHooks(each);
}

function report(task: RunnerTask): void {
  const { state, errors = [], duration = 0 } = task.result ?? {};
  const outcome: Outcome = {
    name: task.fullName,
    state: state === "pass" ? "passed" : state === "fail" ? "failed" : "skipped",
    milliseconds: Math.round(duration),
    errors: errors.map(({ message, stack, diff }) => [message, stack, diff].filter(Boolean).join("\n")),
  };
  writeSync(1, `${JSON.stringify(outcome)}\n`);
}
