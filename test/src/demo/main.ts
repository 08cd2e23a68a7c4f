/** `npm run demo`: a pod with one container through the real shim, without containerd; each step with its duration. */
import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { messageOf } from "@uvm-shim/lifecycle";
import { findProgram } from "@uvm-shim/test-support/command";
import { makeRootfs } from "@uvm-shim/test-support/rootfs";
import { takeHoldings, waitForNothingLeft } from "../leaks/holdings.ts";
import { shimScope } from "../leaks/shim-scope.ts";
import { type Phase, Pod } from "../shim-client/pod.ts";
import { type Isolation, isolation, runIsolated } from "../support/isolate.ts";
import { HOST_ENVIRONMENT, SHIM, SHIM_PROGRAM } from "../support/programs.ts";
import { DemoConsole } from "./console.ts";

const SHELL_SCRIPT = [
  'echo "Hello from the container $(hostname), on $(uname -sr)"',
  'echo "My processes begin with number 1: $(cat /proc/1/comm)"',
  'for second in 1 2 3; do echo "working, $second of 3"; sleep 0.3; done',
  'echo "now I wait for a line"',
  "read line",
  'echo "I was told: $line"',
  "exit 7",
].join("\n");
const EXEC_SCRIPT = 'echo "An exec in $(hostname) sees process 1, $(cat /proc/1/comm), and its own number $$"';
const NO_BOUNDARY = "This VM is a process guest, on this machine's own kernel: no security boundary. See SECURITY.md.";
const INTERRUPTED = 130;
const NOTHING_LEFT_MS = 10_000;

const PHASE_TEXTS: { readonly [phase in Phase]: string } = {
  start: `${SHIM_PROGRAM} start: the shim serves on its socket`,
  "create sandbox": "CreateSandbox: the compute service has the VM's document",
  boot: "StartSandbox: the VM runs and its guest has answered",
  create: "Create: the root file system is in the VM, the container is ready",
  "start task": "Start: the container runs",
  delete: "Delete: the container and what it held are gone",
  stop: "StopSandbox: the VM has ended",
  end: `ShutdownSandbox and ${SHIM_PROGRAM} delete: the shim has ended`,
};

/** One sentence about what is missing on the machine, and how to get it. */
function missing(): string | undefined {
  if (process.platform !== "linux") return "The demo needs Linux: it emulates the Hyper-V host with Linux namespaces.";
  if (process.getuid?.() !== 0) return "The demo needs root, for mounts and namespaces: run it as root, or with sudo.";
  if (findProgram("crun") === undefined && findProgram("runc") === undefined) {
    return "The demo needs an OCI runtime in its guest: apt-get install crun";
  }
  for (const [program, debianPackage] of [
    ["unshare", "util-linux"],
    ["mkfifo", "coreutils"],
  ] as const) {
    if (findProgram(program) === undefined) return `The demo needs ${program}: apt-get install ${debianPackage}`;
  }
  if (!existsSync(SHIM)) return `The demo needs ${SHIM}: npm run build`;
  return undefined;
}

async function demonstrate({ directory, signal }: Isolation): Promise<number> {
  const console = new DemoConsole(process.stdout);
  console.title("uvm-shim: one pod in its own utility VM, on an emulated Hyper-V host");
  console.line(`  ${NO_BOUNDARY}`);
  const scope = shimScope([join(directory, "pod")]);
  mkdirSync(join(directory, "pod"));
  const before = await takeHoldings(scope);
  let status = 0;
  try {
    await runPod(console, directory, signal);
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

async function runPod(console: DemoConsole, directory: string, signal: AbortSignal): Promise<void> {
  const rootfs = join(directory, "rootfs");
  mkdirSync(rootfs);
  const started = performance.now();
  console.progress("root file system");
  const what = await makeRootfs(rootfs);
  console.step("root filesystem", `made of this machine's ${what}`, performance.now() - started);
  const observer = {
    begins: (phase: Phase) => console.progress(phase),
    ended: (phase: Phase, milliseconds: number) => console.step(phase, PHASE_TEXTS[phase], milliseconds),
  };
  const pod = await Pod.run({
    ...{ executable: SHIM, id: "demo-pod", environment: HOST_ENVIRONMENT, signal, observer },
    directory: join(directory, "pod"),
  });
  try {
    const container = await pod.createContainer({
      id: "demo",
      args: ["sh", "-c", SHELL_SCRIPT],
      rootfs: [{ type: "bind", source: rootfs, options: ["rbind", "rw"] }],
    });
    try {
      let waits: () => void;
      const waiting = new Promise<void>((resolve) => {
        waits = resolve;
      });
      const shown = showLines(container.stdio.stdout, (line) => {
        console.output(line);
        if (line.includes("wait for a line")) waits();
      });
      const complaints = showLines(container.stdio.stderr, (line) => console.output(line));
      await container.start();
      const exited = container.wait();
      // What fails in between is reported first.
      exited.catch(() => undefined);
      await Promise.race([waiting, exited]);
      const execStarted = performance.now();
      const exec = await container.exec("look", { args: ["sh", "-c", EXEC_SCRIPT] });
      try {
        const execShown = showLines(exec.stdout, (line) => console.output(line));
        const execStatus = await container.wait("look");
        await execShown;
        await container.deleteExec("look");
        console.step("exec", `Exec, Start, Wait, Delete: exit code ${execStatus}`, performance.now() - execStarted);
      } finally {
        exec.close();
      }
      container.stdio.stdin.end("hello through stdin\n");
      const exitCode = await exited;
      await Promise.all([shown, complaints]);
      console.line(`    the container ended with exit code ${exitCode}`);
      await container.delete();
    } finally {
      container.stdio.close();
    }
    await pod.remove();
  } finally {
    await pod.abandon();
  }
}

async function showLines(stream: Readable, show: (line: string) => void): Promise<void> {
  for await (const line of createInterface({ input: stream })) show(line);
}

async function main(): Promise<number> {
  const isolated = isolation();
  if (isolated !== undefined) return await demonstrate(isolated);
  const sentence = missing();
  if (sentence !== undefined) {
    process.stderr.write(`${sentence}\n`);
    return 1;
  }
  return await runIsolated(import.meta.url, [], { inMemory: false });
}

try {
  process.exitCode = await main();
} catch (error) {
  process.stderr.write(`demo: ${messageOf(error)}\n`);
  process.exitCode = 1;
}
