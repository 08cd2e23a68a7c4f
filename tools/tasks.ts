/** The root scripts, on the pinned Node; tools/run.mjs calls it. */
import { join } from "node:path";
import { withLock } from "./bootstrap/lock.mjs";
import { mustRun, tell } from "./bootstrap/progress.mjs";
import { buildLinux } from "./build-linux.ts";
import { describeCounts } from "./counts.ts";
import { programs } from "./programs.ts";
import { run, runVitest } from "./run-vitest.ts";
import { linuxHost } from "./targets.ts";
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
  // The bundles out of turbo's cache may tell an earlier commit of the same sources.
  await buildLinux();
  process.stdout.write(`built ${join(root, "dist", linuxHost())}\n`);
  return await buildWindows();
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
  process.stdout.write(`${describeCounts({ passed: steps.length - failed, failed })}\n`);
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

/** Others wait while this checkout is built. */
function alone<T>(work: () => Promise<T>): Promise<T> {
  return withLock(root, `npm run ${task}, process ${process.pid},`, work, (holder) =>
    process.stderr.write(`npm run ${task} waits for ${holder} which builds in this checkout\n`),
  );
}

/** What virtual machines boot from, and what runs them, where anything that they are made of has changed. */
async function makeBootFiles(): Promise<void> {
  await import("./boot-files/main.ts");
}

/** What the demo is made of; tools/run.mjs then starts it, and has the lock meanwhile. */
async function makeDemo(): Promise<number> {
  const isWindowsScene = rest.includes("--windows");
  const { bundleDemo } = await import("./demo-program.ts");
  await Promise.all([
    buildLinux([...demoPrograms, ...(isWindowsScene ? ["shim-wcow"] : [])]),
    isWindowsScene ? undefined : bundleDemo(),
  ]);
  if (rest.includes("--vm")) await makeBootFiles();
  return 0;
}

async function perform(): Promise<number> {
  switch (task) {
    case "build":
      return await alone(build);
    case "check":
      return await check();
    case "format":
      return (await run("biome", ["check", "--write", "."])) || (await runMain("tools", "reference"));
    case "reference":
      return await runMain("tools", task);
    case "test":
      await alone(() => buildLinux());
      return await test();
    case "vitest":
      return await run("vitest", rest);
    case "documents":
      return await run(process.execPath, [join("test", "src", "documents", "wcow.ts"), ...rest]);
    case "faults":
    case "bare":
    case "packages":
      return await runMain("test", "src", task);
    case "demo":
      return await makeDemo();
    case "e2e":
    case "causes":
    case "soak":
    case "systemd":
    case "attack":
    case "telemetry":
      await alone(() => buildLinux());
      return await runMain("test", "src", task);
    case "bench":
      await alone(async () => {
        await buildLinux();
        if (rest.includes("--vm")) await makeBootFiles();
      });
      return await runMain("test", "src", task);
    case "e2e:vm":
      await alone(async () => {
        await buildLinux();
        await makeBootFiles();
      });
      return await run(process.execPath, [join("test", "src", "e2e", "main.ts"), "--guest", "qemu", ...rest]);
    case "boot-files":
      await alone(async () => {
        await buildLinux(["guest-agent"]);
        await makeBootFiles();
      });
      return 0;
    case "docs":
      return await run(process.execPath, [join("tools", "api-docs", "main.ts"), ...rest]);
    case "release:version":
      return await run("changeset", ["version"]);
    case "release:notes":
      return await run(process.execPath, [join("tools", "release", "notes.ts")]);
    case "release:archives":
      return await alone(() => runMain("tools", "release"));
    case "release:check":
      return await runMain("test", "src", "release");
    case "bench:windows":
      return await runMain("test", "windows-host", "bench");
    case "e2e:windows":
      await alone(async () => {
        await buildLinux();
        await buildWindows();
      });
      return await runMain("test", "src", "windows");
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
