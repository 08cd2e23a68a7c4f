/** The root scripts, on the pinned Node; tools/run.mjs calls it. */
import { join } from "node:path";
import { describeCounts, run, runVitest } from "./run-vitest.ts";

const [task = "", ...rest] = process.argv.slice(2);

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
  const { commitVariable, sourceCommit } = await import("./commit.ts");
  const status = await run("turbo", ["run", "build", ...quiet], {
    TURBO_TELEMETRY_DISABLED: "1",
    DO_NOT_TRACK: "1",
    [commitVariable]: sourceCommit(),
  });
  if (status !== 0) return status;
  const { assembleLinux } = await import("./assemble.ts");
  process.stdout.write(`built ${assembleLinux()}\n`);
  const { assembleWindows } = await import("./windows-executables.ts");
  const { measureExecutable } = await import("../test/windows-host/start-up.ts");
  for (const executable of await assembleWindows()) {
    process.stdout.write(`built ${executable}: ${await measureExecutable(executable)}\n`);
  }
  return 0;
}

async function check(): Promise<number> {
  const steps = [
    ["biome", ["ci", "--colors=off", "."]],
    ["tsc", ["-p", "tsconfig.json"]],
    ["node", ["tools/check/main.ts"]],
  ] as const;
  const failed = await all(steps);
  process.stdout.write(`${steps.length - failed} passed, ${failed} failed\n`);
  return failed === 0 ? 0 : 1;
}

async function test(): Promise<number> {
  const counts = await runVitest(rest);
  process.stdout.write(`${describeCounts(counts)}\n`);
  return counts.failed === 0 ? 0 : 1;
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
  case "vitest":
    process.exitCode = await run("vitest", rest);
    break;
  case "documents":
    process.exitCode = await run(process.execPath, [join("test", "src", "documents", "wcow.ts"), ...rest]);
    break;
  case "faults":
    process.exitCode = await run(process.execPath, [join("test", "src", "faults", "main.ts"), ...rest]);
    break;
  case "demo":
  case "e2e":
  case "bench":
  case "soak":
  case "attack":
    process.exitCode = await afterBuild(task);
    break;
  case "bench:windows":
    process.exitCode = await run(process.execPath, [join("test", "windows-host", "bench", "main.ts")]);
    break;
  case "e2e:windows":
    process.exitCode = await afterBuild("windows");
    break;
  default:
    process.stderr.write(
      `No task "${task}"; there are build, check, format, test, vitest, documents, faults, attack, demo, e2e, e2e:windows, bench, bench:windows and soak.\n`,
    );
    process.exitCode = 1;
}
