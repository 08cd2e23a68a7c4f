/** What a pod is accounted for in its cgroup, and what CRI says of it, beside a pod of runc's. */
import { existsSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { mustRun } from "@uvm-shim/test-support/command";
import { CriClient } from "../cri/client.ts";
import { CriPod } from "../cri/pod.ts";
import type { PodForm } from "../e2e/containerd.ts";
import { Containerd, type ContainerdOptions } from "../e2e/containerd.ts";
import { CONTAINER_EXITED, handlerName } from "../e2e/cri-case.ts";
import { IMAGE, type Images, MEBIBYTE, PAUSE_IMAGE } from "../e2e/images.ts";
import { RUNTIMES } from "../e2e/suite.ts";
import { readProcesses } from "../leaks/holdings.ts";
import { proportionalSetSize } from "../support/memory.ts";
import { SERVERS } from "../support/servers.ts";
import { poll } from "../support/wait.ts";
import { median } from "./statistics.ts";

export interface PodCost {
  readonly handler: string;
  readonly load: (typeof LOADS)[number];
  /** Of the processor, in milliseconds: what CRI's ListPodSandboxStats says, and what the pod's cgroup does. */
  readonly criCpu: number;
  readonly groupCpu: number;
  /** In MiB. CRI's is the working set; the cgroup's is all that is charged. */
  readonly criMemory: number;
  readonly groupMemory: number;
  /** Threads among them. */
  readonly processes: number;
  /** Of the emulated host, which is in no pod's group. */
  readonly hostCpu: number;
  readonly hostMemory: number;
}

interface Usage {
  readonly criCpu: number;
  readonly groupCpu: number;
  readonly criMemory: number;
  readonly groupMemory: number;
  readonly processes: number;
  readonly hostCpu: number;
  readonly hostMemory: number;
}

const LOADS = ["idle", "busy"] as const;
const PODS: readonly (readonly [runtime: keyof typeof RUNTIMES, form: PodForm])[] = [
  ["lcow", "shim"],
  ["lcow", "containerd"],
  ["runc", "containerd"],
];
const ROUNDS = 3;
const IDLE_MS = 5_000;
const READY_MS = 30_000;
/** A fixed amount of work, so that what is left of a busy machine's processors does not matter. */
const WORK = `head -c ${50 * MEBIBYTE} /dev/zero >/dev/shm/x; i=0; while [ $i -lt 1000000 ]; do i=$((i+1)); done`;

/** Medians of some rounds, in which the runtimes take turns, on a containerd of their own. */
export async function measurePods(
  options: Omit<ContainerdOptions, "cri">,
  images: Images,
  signal: AbortSignal,
): Promise<readonly PodCost[]> {
  // containerd's streaming server listens there.
  await mustRun("busybox", ["ip", "link", "set", "dev", "lo", "up"]);
  mkdirSync(options.directory);
  const handlers = PODS.map(([key, form]) => {
    const runtime = RUNTIMES[key].name;
    return { name: handlerName(runtime, form), runtime, form, hasPluginNetworks: false };
  });
  const cri = { sandboxImage: PAUSE_IMAGE, handlers, restrictsOomScores: true };
  const containerd = await Containerd.start({ ...options, cri }, signal);
  const client = new CriClient(containerd.address);
  try {
    for (const archive of [images.archive, images.pauseArchive]) await containerd.mustCtr(["image", "import", archive]);
    const samples: PodCost[] = [];
    for (let round = 0; round < ROUNDS; round += 1) {
      for (const { name } of handlers) {
        samples.push(...(await measurePod(client, name, join(options.directory, `${name}-${round}`), signal)));
      }
    }
    return handlers.flatMap(({ name }) =>
      LOADS.map((load) => middle(samples.filter((one) => one.handler === name && one.load === load))),
    );
  } finally {
    client.close();
    await containerd.destroy();
  }
}

async function measurePod(
  cri: CriClient,
  handler: string,
  directory: string,
  signal: AbortSignal,
): Promise<readonly PodCost[]> {
  const pod = await CriPod.run({
    cri,
    directory,
    name: "measured",
    runtimeHandler: handler,
    image: IMAGE,
  });
  try {
    await pod.run("idle", ["sh", "-c", "while sleep 0.5; do :; done"]);
    const start = await usage(cri, pod);
    await sleep(IDLE_MS, undefined, { signal });
    const rested = await usage(cri, pod);
    const worker = await pod.run("busy", ["sh", "-c", WORK]);
    await poll(
      `container ${worker} to exit`,
      async () => {
        const { status } = await cri.call("ContainerStatus", { containerId: worker });
        return status?.state === CONTAINER_EXITED ? true : undefined;
      },
      { timeoutMs: READY_MS, signal },
    );
    const worked = await usage(cri, pod);
    return [cost(handler, "idle", start, rested), cost(handler, "busy", rested, worked)];
  } finally {
    await pod.remove();
  }
}

function cost(handler: string, load: PodCost["load"], before: Usage, after: Usage): PodCost {
  return {
    handler,
    load,
    ...after,
    criCpu: after.criCpu - before.criCpu,
    groupCpu: after.groupCpu - before.groupCpu,
    hostCpu: after.hostCpu - before.hostCpu,
  };
}

function middle(samples: readonly PodCost[]): PodCost {
  const [first] = samples as [PodCost];
  const of = (key: keyof Usage): number => median(samples.map((one) => one[key]));
  return {
    ...first,
    criCpu: of("criCpu"),
    groupCpu: of("groupCpu"),
    criMemory: of("criMemory"),
    groupMemory: of("groupMemory"),
    processes: of("processes"),
    hostCpu: of("hostCpu"),
    hostMemory: of("hostMemory"),
  };
}

async function usage(cri: CriClient, pod: CriPod): Promise<Usage> {
  const { stats } = await cri.call("ListPodSandboxStats", { filter: { id: pod.id } });
  const linux = stats[0]?.linux;
  const read = (...names: readonly string[]): string => {
    // The name first: in version 1 the hierarchy of shares has a `cpu.stat` too, which has no usage.
    const files = names.flatMap((name) => pod.controlGroups.map((group) => join(group, name)));
    const found = files.find((file) => existsSync(file));
    if (found === undefined) throw new Error(`no cgroup of the pod contains ${names.join(" or ")}`);
    return readFileSync(found, "utf8");
  };
  const cpu = read("cpuacct.usage", "cpu.stat");
  const microseconds = cpu.match(/^usage_usec (\d+)$/m)?.[1];
  const [host] = readProcesses().filter(({ command }) => SERVERS["emulated host"].test(command));
  return {
    criCpu: Number(linux?.cpu?.usageCoreNanoSeconds?.value ?? Number.NaN) / 1e6,
    groupCpu: microseconds === undefined ? Number(cpu) / 1e6 : Number(microseconds) / 1e3,
    criMemory: Number(linux?.memory?.workingSetBytes?.value ?? Number.NaN) / MEBIBYTE,
    groupMemory: Number(read("memory.usage_in_bytes", "memory.current")) / MEBIBYTE,
    processes: Number(read("pids.current")),
    hostCpu: host === undefined ? 0 : cpuMilliseconds(host.pid),
    hostMemory: host === undefined ? 0 : proportionalSetSize(host.pid),
  };
}

/** What the threads of a process have run for; finer than the ticks of `stat` (Linux, scheduler statistics). */
function cpuMilliseconds(pid: number): number {
  const threads = `/proc/${pid}/task`;
  return readdirSync(threads).reduce((sum, thread) => {
    const [ran] = readFileSync(join(threads, thread, "schedstat"), "utf8").split(" ");
    return sum + Number(ran) / 1e6;
  }, 0);
}

export function showPods(costs: readonly PodCost[]): string {
  const columns = ["CRI ms", "cgroup ms", "CRI MiB", "cgroup MiB", "processes", "host ms", "host MiB"];
  const row = (name: string, cells: readonly string[]): string =>
    `${name.padEnd(36)}${cells.map((cell) => cell.padStart(12)).join("")}`;
  const lines = costs.map((one) =>
    row(`${one.handler}, ${one.load}`, [
      ...[one.criCpu, one.groupCpu, one.criMemory, one.groupMemory].map((value) => value.toFixed(1)),
      `${one.processes}`,
      ...[one.hostCpu, one.hostMemory].map((value) => value.toFixed(1)),
    ]),
  );
  return [row("", columns), ...lines, "", ...ratios(costs)].join("\n");
}

/** What each busy pod has used of the processor for the same work, against runc's. */
function ratios(costs: readonly PodCost[]): readonly string[] {
  const busy = costs.filter(({ load }) => load === "busy");
  const peers = busy.find(({ handler }) => handler === handlerName(RUNTIMES.runc.name, "containerd"));
  if (peers === undefined) return [];
  return busy
    .filter((one) => one !== peers)
    .map((one) => `${one.handler}, busy: ${(one.groupCpu / peers.groupCpu).toFixed(2)}x of runc's processor time`);
}
