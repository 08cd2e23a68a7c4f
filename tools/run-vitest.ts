import { readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runLast } from "./bootstrap/last.mjs";
import type { TestCounts } from "./counts.ts";
import { root } from "./workspace.ts";

/** Runs vitest with this terminal and counts what it ran; a failure more than it tells, if it fails itself or ran nothing. */
export async function runVitest(args: readonly string[]): Promise<TestCounts> {
  const report = join(tmpdir(), `uvm-shim-test-${process.pid}.json`);
  const reporters = ["--reporter=default", "--reporter=json", `--outputFile.json=${report}`];
  const status = await run("vitest", ["run", ...reporters, ...args]);
  let counts = { numPassedTests: 0, numFailedTests: 0, numPendingTests: 0 };
  try {
    counts = { ...counts, ...JSON.parse(readFileSync(report, "utf8")) };
  } finally {
    rmSync(report, { force: true });
  }
  const { numPassedTests: passed, numFailedTests, numPendingTests: skipped } = counts;
  return { passed, failed: Math.max(numFailedTests, status === 0 && passed > 0 ? 0 : 1), skipped };
}

/** Runs a command with this terminal; resolves with its exit status. A signal to us goes to it as well. */
export async function run(
  command: string,
  args: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): Promise<number> {
  const ended = await runLast(command, args, { cwd: root, env: { ...process.env, ...environment } });
  return typeof ended === "string" ? 128 : ended;
}
