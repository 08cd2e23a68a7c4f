/**
 * `npm run demo`: a pod with one container through the real shim, without containerd; each step with its duration. With
 * `-- --vm`, in a virtual machine; with `-- --windows`, a pod of Windows containers.
 */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { messageOf } from "@uvm-shim/lifecycle";
import { thisMachine } from "../../../tools/bootstrap/machine.mjs";
import { commandOf, sentence } from "../../../tools/bootstrap/needs.mjs";
import { takeHoldings, waitForNothingLeft } from "../leaks/holdings.ts";
import { shimScope } from "../leaks/shim-scope.ts";
import { type Phase, Pod } from "../shim-client/pod.ts";
import { type Isolation, isolation, runIsolated } from "../support/isolate.ts";
import { DemoConsole } from "./console.ts";
import { linuxScene } from "./linux-scene.ts";
import type { Scene } from "./scene.ts";
import { vmScene } from "./vm-scene.ts";

const INTERRUPTED = 130;
const NOTHING_LEFT_MS = 10_000;

/** One sentence about what is missing on the machine, and how to get it. */
function missing(scene: Scene, args: readonly string[]): string | undefined {
  if (process.platform !== "linux") return "The demo needs Linux: it emulates the Hyper-V host with Linux namespaces.";
  if (process.getuid?.() !== 0) return "The demo needs root, for mounts and namespaces: run it as root, or with sudo.";
  const machine = thisMachine();
  const lacking = commandOf("demo", args).required.filter((need) => !machine.has(need));
  if (lacking.length > 0) return sentence("demo", lacking, machine);
  return scene.missing();
}

async function demonstrate(scene: Scene, { directory, signal }: Isolation): Promise<number> {
  const console = new DemoConsole(process.stdout);
  console.title(scene.title);
  console.line(`  ${scene.boundary}`);
  const scope = shimScope([join(directory, "pod")]);
  mkdirSync(join(directory, "pod"));
  const before = await takeHoldings(scope);
  let status = 0;
  try {
    await runPod(scene, console, directory, signal);
  } catch (error) {
    status = signal.aborted ? INTERRUPTED : 1;
    console.problem(signal.aborted ? "interrupted; cleaning up" : messageOf(error));
  }
  console.progress("looking for what is left over");
  const left = await waitForNothingLeft(before, scope, NOTHING_LEFT_MS);
  for (const thing of left) console.problem(thing);
  if (left.length === 0)
    console.line("  left over: nothing (no process, mount, namespace, socket, file, loop device, cgroup or VM)");
  return left.length === 0 ? status : 1;
}

async function runPod(scene: Scene, console: DemoConsole, directory: string, signal: AbortSignal): Promise<void> {
  const stage = await scene.stage(directory, console);
  const observer = {
    begins: (phase: Phase) => console.progress(phase),
    ended: (phase: Phase, milliseconds: number) => console.step(phase, scene.phases[phase], milliseconds),
  };
  const pod = await Pod.run({
    ...{ ...stage.pod, id: "demo-pod", signal, observer },
    directory: join(directory, "pod"),
  });
  try {
    if (scene.describeVm) console.line(`    ${scene.describeVm()}`);
    await stage.ready;
    const container = await pod.createContainer({ ...stage.container, id: "demo" });
    try {
      const shown = showLines(container.stdio.stdout, (line) => console.output(line));
      const complaints = showLines(container.stdio.stderr, (line) => console.output(line));
      await container.start();
      const exited = container.wait();
      // What fails in between is reported first.
      exited.catch(() => undefined);
      const execStarted = performance.now();
      const exec = await container.exec("look", stage.exec);
      try {
        const lines: string[] = [];
        const execShown = showLines(exec.stdout, (line) => {
          lines.push(line);
          console.output(line);
        });
        const execStatus = await container.wait("look");
        await execShown;
        stage.checkExec?.(lines);
        await container.deleteExec("look");
        console.step("exec", `Exec, Start, Wait, Delete: exit code ${execStatus}`, performance.now() - execStarted);
      } finally {
        exec.close();
      }
      container.stdio.stdin.end(stage.line);
      const exitCode = await exited;
      await Promise.all([shown, complaints]);
      console.line(`    the container ended with exit code ${exitCode}`);
      await container.delete();
    } finally {
      container.stdio.close();
    }
    await pod.remove({ hangsUp: true });
  } finally {
    await pod.abandon();
  }
}

async function showLines(stream: Readable, show: (line: string) => void): Promise<void> {
  for await (const line of createInterface({ input: stream })) show(line);
}

async function main(): Promise<number> {
  const scene = await sceneOf(process.argv.slice(2));
  const isolated = isolation();
  if (isolated !== undefined) return await demonstrate(scene, isolated);
  const sentence = missing(scene, process.argv.slice(2));
  if (sentence !== undefined) {
    process.stderr.write(`${sentence}\n`);
    return 1;
  }
  await scene.prepare(new DemoConsole(process.stdout));
  return await runIsolated(import.meta.url, process.argv.slice(2), { inMemory: false });
}

async function sceneOf(args: readonly string[]): Promise<Scene> {
  const [arg, ...more] = args;
  if (more.length > 0) throw new Error(`${args.join(" ")} is too much: expected nothing, --vm or --windows`);
  switch (arg) {
    case undefined:
      return linuxScene;
    case "--vm":
      return vmScene;
    case "--windows":
      return (await import("./windows-scene.ts")).windowsScene;
    default:
      throw new Error(`${arg} is unknown: expected nothing, --vm or --windows`);
  }
}

try {
  process.exitCode = await main();
} catch (error) {
  process.stderr.write(`demo: ${messageOf(error)}\n`);
  process.exitCode = 1;
}
