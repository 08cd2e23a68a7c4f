/**
 * Runs one suite in this process, with vitest's own runner but without its server, whose native parts are those of
 * other machines. Called as `node run-suite.ts <file of the suite> [pattern of names]`; tells each test's outcome as a
 * line of JSON on standard output.
 */
import { writeSync } from "node:fs";
import { pathToFileURL } from "node:url";
import type { RunnerTask as Task } from "vitest";
import { startTests } from "vitest/internal/browser";
import type { Outcome } from "./outcome.ts";

const [, , suite = "", pattern] = process.argv;

const config = {
  root: process.cwd(),
  setupFiles: [],
  name: undefined,
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
  tagsFilter: undefined,
  strictTags: false,
  taskTitleValueFormatTruncate: 40,
  expect: {},
};

// What `expect` and `vi` look up while tests run.
Object.defineProperty(globalThis, "__vitest_worker__", {
  value: { config, ctx: { pool: "forks" }, environment: { name: "node" }, current: undefined, rpc: {} },
});

const runner = {
  config,
  pool: "forks",
  importFile: () => import(pathToFileURL(suite).href),
  onAfterRunTask: (task: Task) => tell(task),
} as unknown as Parameters<typeof startTests>[1];

function tell(task: Task): void {
  const { state, errors = [], duration = 0 } = task.result ?? {};
  const outcome: Outcome = {
    name: task.fullName,
    state: state === "pass" ? "passed" : state === "fail" ? "failed" : "skipped",
    milliseconds: Math.round(duration),
    errors: errors.map(({ name, message, stack, diff }) =>
      [`${name}: ${message}`, stack, diff].filter(Boolean).join("\n"),
    ),
  };
  writeSync(1, `${JSON.stringify(outcome)}\n`);
}

const files = await startTests([suite], runner);
for (const file of files) if (file.result?.state === "fail") tell(file);
process.exit(0);
