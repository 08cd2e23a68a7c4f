/** The root scripts, on the pinned Node; tools/run.mjs calls it. */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { mustRun, tell } from "./bootstrap/progress.mjs";
import { findProgram, programs } from "./programs.ts";
import { describeCounts, run, runVitest } from "./run-vitest.ts";
import { digestSources } from "./sources.ts";
import { host, type LinuxTarget, marksOf } from "./targets.ts";
import { manifest, root } from "./workspace.ts";

const [task = "", ...rest] = process.argv.slice(2);
const tasks = Object.keys(manifest().scripts);

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

/** Compiles every package as it is published, and makes all executables. */
async function build(): Promise<number> {
  const quiet = ["--output-logs=errors-only", "--log-prefix=none", "--ui=stream", "--no-update-notifier"];
  const { commitVariable, sourceCommit } = await import("./commit.ts");
  const environment = {
    ...process.env,
    TURBO_TELEMETRY_DISABLED: "1",
    DO_NOT_TRACK: "1",
    [commitVariable]: sourceCommit(),
  };
  await tell("packages compiled and programs bundled", [], () =>
    mustRun("turbo", "turbo", ["run", "build", ...quiet], { cwd: root, env: environment }),
  );
  const { assembleLinux } = await import("./assemble.ts");
  process.stdout.write(`built ${await assembleLinux({ target: linuxHost() })}\n`);
  return await buildWindows();
}

function linuxHost(): LinuxTarget {
  if (host === "linux-x64" || host === "linux-arm64") return host;
  throw new Error(`Executables are made on Linux, x64 or arm64, and this is ${host}.`);
}

/** Bundles programs straight from the sources, if these have changed, and puts them into this machine's distribution. */
async function buildLinux(wanted?: readonly string[]): Promise<number> {
  const target = linuxHost();
  const sources = digestSources();
  const stampOf = (name: string): string => join(marksOf(target), `${name}.sources`);
  const names = (wanted ?? (await import("./assemble.ts")).linuxPrograms).filter(
    (name) => !existsSync(stampOf(name)) || readFileSync(stampOf(name), "utf8") !== sources,
  );
  if (names.length === 0) return 0;
  const [{ writeBundles }, { assembleLinux }] = await Promise.all([import("./bundle.ts"), import("./assemble.ts")]);
  await Promise.all(names.map((name) => writeBundles(findProgram(name), ["linux"])));
  await assembleLinux({ target, programs: names, manuals: wanted === undefined });
  for (const name of names) writeFileSync(stampOf(name), sources);
  return 0;
}

async function buildWindows(): Promise<number> {
  const { writeBundles } = await import("./bundle.ts");
  const forWindows = programs.filter(({ systems }) => systems.includes("win32"));
  await Promise.all(forWindows.map((program) => writeBundles(program, ["win32"])));
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
    ["node", ["tools/reference/main.ts", "--check"]],
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

function runMain(...folders: readonly string[]): Promise<number> {
  return run(process.execPath, [join(...folders, "main.ts"), ...rest]);
}

/** What a pod of Linux containers runs on; the demo of Windows containers has its shim beside it. */
const demoPrograms = ["shim-lcow", "hcs-emulator", "guest-agent"];

async function perform(): Promise<number> {
  switch (task) {
    case "build":
      return await build();
    case "check":
      return await check();
    case "format":
      return (await run("biome", ["check", "--write", "."])) || (await runMain("tools", "reference"));
    case "reference":
      return await runMain("tools", task);
    case "test":
      return (await buildLinux()) || (await test());
    case "vitest":
      return await run("vitest", rest);
    case "documents":
      return await run(process.execPath, [join("test", "src", "documents", "wcow.ts"), ...rest]);
    case "faults":
    case "bare":
    case "packages":
      return await runMain("test", "src", task);
    case "demo":
      return (
        (await buildLinux([...demoPrograms, ...(rest.includes("--windows") ? ["shim-wcow"] : [])])) ||
        (await runMain("test", "src", "demo"))
      );
    case "e2e":
    case "bench":
    case "causes":
    case "soak":
    case "attack":
    case "telemetry":
      return (await buildLinux()) || (await runMain("test", "src", task));
    case "docs":
      return await run(process.execPath, [join("tools", "api-docs", "main.ts"), ...rest]);
    case "release:version":
      return await run("changeset", ["version"]);
    case "release:notes":
      return await run(process.execPath, [join("tools", "release", "notes.ts")]);
    case "release:archives":
      return await runMain("tools", "release");
    case "release:check":
      return await runMain("test", "src", "release");
    case "bench:windows":
      return await runMain("test", "windows-host", "bench");
    case "e2e:windows":
      return (await buildLinux()) || (await buildWindows()) || (await runMain("test", "src", "windows"));
    default:
      process.stderr.write(`No task "${task}"; there are ${tasks.join(", ")}.\n`);
      return 1;
  }
}

try {
  process.exitCode = await perform();
} catch (error) {
  process.stderr.write(`npm run ${task}: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
