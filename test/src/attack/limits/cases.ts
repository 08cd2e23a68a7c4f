/** Pods that lack something: descriptors, memory, place on a disk. What cannot be done is refused, and nothing is left. */
import { mkdirSync, readdirSync, rmdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { mustRun } from "@uvm-shim/test-support/command";
import { takeHoldings } from "../../leaks/holdings.ts";
import { shimScope } from "../../leaks/shim-scope.ts";
import { Pod, type PodContainer, readOnlyRoot } from "../../shim-client/pod.ts";
import { Task } from "../../shim-client/shim.ts";
import { HOST_ENVIRONMENT, SHIM } from "../../support/programs.ts";
import type { ChaosContext } from "../chaos/run-chaos.ts";
import { leftOver } from "../harness/leftovers.ts";

export interface LimitCase {
  readonly name: string;
  readonly what: string;
  readonly run: (context: LimitContext) => Promise<void>;
}

export interface LimitContext extends ChaosContext {
  /** An empty folder for the case. */
  readonly own: string;
}

export interface LimitResult {
  readonly name: string;
  readonly problems: readonly string[];
}

const callMs = 15_000;
const leftMs = 15_000;
const containers = 12;
const memoryLimit = 140 * 1024 * 1024;

/** A shim that is started with limits of its shell's. */
function wrapped(folder: string, lines: readonly string[]): string {
  const path = join(folder, "containerd-shim-lcow-v2");
  writeFileSync(path, ["#!/bin/sh", ...lines, `exec ${SHIM} "$@"`, ""].join("\n"), { mode: 0o755 });
  return path;
}

async function runPod(context: LimitContext, executable: string, directory: string): Promise<Pod> {
  const signal = AbortSignal.any([context.signal, AbortSignal.timeout(4 * callMs)]);
  return await Pod.run({ executable, directory, id: "pod", environment: HOST_ENVIRONMENT, signal });
}

/** Makes as many containers as it can. Each call is answered, by a refusal if it must be. */
async function makeMany(pod: Pod, context: LimitContext): Promise<number> {
  const made: PodContainer[] = [];
  for (let count = 0; count < containers; count += 1) {
    const rootfs = readOnlyRoot(context.rootfs);
    try {
      const container = await pod.createContainer({ id: `c-${count}`, args: ["sleep", "1000"], rootfs });
      made.push(container);
      await container.start();
    } catch (error) {
      if ((error as Error).name === "TimeoutError") throw error;
    }
  }
  // Whatever was refused, the shim serves on.
  try {
    for (const { id } of made) await pod.shim.call(Task, "State", { id }, { timeoutMs: callMs });
  } finally {
    for (const { stdio } of made) stdio.close();
  }
  return made.length;
}

/** With so few descriptors; a hard limit, which nobody raises. */
const descriptors =
  (most: number): LimitCase["run"] =>
  async (context) => {
    const executable = wrapped(context.own, [`ulimit -n ${most}`]);
    const pod = await orRefused(() => runPod(context, executable, context.own));
    if (pod === undefined) return;
    try {
      await makeMany(pod, context);
      await pod.remove();
    } finally {
      await pod.abandon();
    }
  };

/** A pod that cannot be started at all is refused, and that is well. */
async function orRefused<T>(work: () => Promise<T>): Promise<T | undefined> {
  try {
    return await work();
  } catch (error) {
    if ((error as Error).name === "TimeoutError") throw error;
    return undefined;
  }
}

async function littleMemory(context: LimitContext): Promise<void> {
  const group = memoryGroup("attack-shim");
  if (group === undefined) {
    console.warn(
      "limit memory is not tried: no cgroup hierarchy that can be written to here has a controller of memory",
    );
    return;
  }
  try {
    const executable = wrapped(context.own, [`echo $$ > ${group}/cgroup.procs`]);
    const pod = await orRefused(() => runPod(context, executable, context.own));
    if (pod === undefined) return;
    try {
      // The kernel may kill a shim that has too little; its pod goes by its `delete` then.
      await makeMany(pod, context).catch(() => {});
      await pod.remove().catch(() => {});
    } finally {
      await pod.abandon();
    }
  } finally {
    await settledGroup(group);
  }
}

/** Below the run's own group; undefined where version 2 does not hand the controller on. */
function memoryGroup(name: string): string | undefined {
  for (const [root, file] of [
    ["/sys/fs/cgroup/memory", "memory.limit_in_bytes"],
    ["/sys/fs/cgroup", "memory.max"],
  ] as const) {
    try {
      const group = join(root, name);
      mkdirSync(group);
      if (!readdirSync(group).includes(file)) {
        rmdirSync(group);
        continue;
      }
      writeFileSync(join(group, file), `${memoryLimit}`);
      return group;
    } catch {
      // The hierarchy is not there, or not to be written to.
    }
  }
  return undefined;
}

async function settledGroup(group: string): Promise<void> {
  const deadline = performance.now() + leftMs;
  for (;;) {
    try {
      rmdirSync(group);
      return;
    } catch (error) {
      if (performance.now() > deadline) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

/** The bundles are on a disk that is full, once the pod runs; with room again, containers can be made again. */
const fullDisk =
  (options: string, fill: (folder: string) => void): LimitCase["run"] =>
  async (context) => {
    const disk = join(context.own, "d");
    mkdirSync(disk);
    await mustRun("mount", ["-t", "tmpfs", "-o", options, "tmpfs", disk]);
    try {
      const pod = await runPod(context, SHIM, disk);
      try {
        const filling = join(disk, "filling");
        mkdirSync(filling);
        try {
          fill(filling);
        } catch {
          // It is full.
        }
        const rootfs = readOnlyRoot(context.rootfs);
        // The bundle itself cannot be made then: what matters is what the shim does with what it holds.
        await pod.createContainer({ id: "late", args: ["sleep", "1"], rootfs }).catch(() => {});
        rmSync(filling, { recursive: true });
        await pod.runContainer({ id: "again", args: ["true"], rootfs });
        await pod.remove();
      } finally {
        await pod.abandon();
      }
    } finally {
      await mustRun("umount", ["--lazy", disk]);
    }
  };

function fillBytes(folder: string): void {
  for (let count = 0; ; count += 1) writeFileSync(join(folder, `${count}`), Buffer.alloc(65_536, 1));
}

function fillInodes(folder: string): void {
  for (let count = 0; ; count += 1) writeFileSync(join(folder, `${count}`), "");
}

export const limitCases: readonly LimitCase[] = [
  ...[24, 32, 48, 64, 96].map((most) => ({
    name: `descriptors-${most}`,
    what: `a shim that may have ${most} descriptors makes ${containers} containers`,
    run: descriptors(most),
  })),
  {
    name: "memory",
    what: `a shim that may have ${memoryLimit >> 20} MiB makes ${containers} containers`,
    run: littleMemory,
  },
  { name: "disk-full", what: "the disk of the bundles is full", run: fullDisk("size=2m", fillBytes) },
  {
    name: "inodes",
    what: "the disk of the bundles takes no further files",
    run: fullDisk("nr_inodes=200", fillInodes),
  },
];

export async function runLimit(limit: LimitCase, context: ChaosContext): Promise<LimitResult> {
  const own = join(context.directory, limit.name);
  mkdirSync(own);
  const before = await takeHoldings(shimScope([context.directory]));
  const problems: string[] = [];
  try {
    await limit.run({ ...context, own });
  } catch (error) {
    problems.push((error as Error).stack ?? String(error));
  }
  rmSync(own, { recursive: true, force: true });
  mkdirSync(own);
  problems.push(...(await leftOver(before, context.directory, context.signal)).filter((line) => !line.includes(own)));
  rmSync(own, { recursive: true, force: true });
  return { name: limit.name, problems };
}
