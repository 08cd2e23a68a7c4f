/** The root scripts, on the pinned Node; tools/run.mjs calls it. */
import { spawn } from "node:child_process";
import { readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { root } from "./bundle.ts";

const [task = "", ...rest] = process.argv.slice(2);

/** Runs a command with this terminal; resolves with its exit status. A signal to us goes to it as well. */
function run(
  command: string,
  args: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): Promise<number> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd: root, stdio: "inherit", env: { ...process.env, ...environment } });
    const forward = (signal: NodeJS.Signals): void => void child.kill(signal);
    const signals: readonly NodeJS.Signals[] = ["SIGINT", "SIGTERM"];
    for (const signal of signals) process.on(signal, forward);
    child.on("error", reject);
    child.on("close", (code, signal) => {
      for (const name of signals) process.off(name, forward);
      resolve(code ?? (signal === null ? 1 : 128));
    });
  });
}

async function all(steps: readonly (readonly [string, readonly string[]])[]): Promise<number> {
  let failed = 0;
  for (const [command, args] of steps) {
    const status = await run(command, args);
    if (status !== 0) {
      process.stdout.write(`failed: ${command} ${args.join(" ")} (exit ${status})\n`);
      failed += 1;
    }
  }
  return failed;
}

async function build(): Promise<number> {
  const quiet = ["--output-logs=errors-only", "--log-prefix=none", "--ui=stream", "--no-update-notifier"];
  const status = await run("turbo", ["run", "build", ...quiet], { TURBO_TELEMETRY_DISABLED: "1", DO_NOT_TRACK: "1" });
  if (status !== 0) return status;
  const { assembleLinux } = await import("./assemble.ts");
  process.stdout.write(`built ${assembleLinux()}\n`);
  return 0;
}

async function check(): Promise<number> {
  const steps = [
    ["biome", ["ci", "--colors=off", "."]],
    ["tsc", ["-p", "tsconfig.json"]],
    ["node", ["tools/check-boundaries.ts"]],
  ] as const;
  const failed = await all(steps);
  process.stdout.write(`${steps.length - failed} passed, ${failed} failed\n`);
  return failed === 0 ? 0 : 1;
}

async function test(): Promise<number> {
  const report = join(tmpdir(), `uvm-shim-test-${process.pid}.json`);
  const status = await run("vitest", [
    "run",
    "--reporter=default",
    "--reporter=json",
    `--outputFile.json=${report}`,
    ...rest,
  ]);
  let counts = { numPassedTests: 0, numFailedTests: 0, numPendingTests: 0, numFailedTestSuites: 0 };
  try {
    counts = { ...counts, ...JSON.parse(readFileSync(report, "utf8")) };
  } finally {
    rmSync(report, { force: true });
  }
  const failed = Math.max(counts.numFailedTests, status === 0 ? 0 : 1);
  const skipped = counts.numPendingTests > 0 ? `, ${counts.numPendingTests} skipped` : "";
  process.stdout.write(`${counts.numPassedTests} passed, ${failed} failed${skipped}\n`);
  return failed === 0 && counts.numPassedTests > 0 ? 0 : 1;
}

async function afterBuild(program: string): Promise<number> {
  return (await build()) || (await run(process.execPath, [join("test", "src", program, "main.ts"), ...rest]));
}

switch (task) {
  case "build":
    process.exitCode = await build();
    break;
  case "check":
    process.exitCode = await check();
    break;
  case "format":
    process.exitCode = await run("biome", ["check", "--write", "."]);
    break;
  case "test":
    process.exitCode = (await build()) || (await test());
    break;
  case "faults":
    process.exitCode = await run(process.execPath, [join("test", "src", "faults", "main.ts"), ...rest]);
    break;
  case "demo":
  case "e2e":
  case "bench":
  case "soak":
    process.exitCode = await afterBuild(task);
    break;
  default:
    process.stderr.write(
      `No task "${task}"; there are build, check, format, test, faults, demo, e2e, bench and soak.\n`,
    );
    process.exitCode = 1;
}
