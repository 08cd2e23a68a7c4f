/** `npm run bench -- --vm`: what a pod in a virtual machine takes, beside a plain QEMU that boots the same files. */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { hostVariables } from "@uvm-shim/host-protocol";
import { tryBoot } from "../../../tools/boot-files/try.ts";
import { makeImages } from "../e2e/images.ts";
import { readProcesses } from "../leaks/holdings.ts";
import { PHASES, type Phase, Pod, readOnlyRoot } from "../shim-client/pod.ts";
import { GUEST_VARIABLE } from "../support/guest-kind.ts";
import type { Isolation } from "../support/isolate.ts";
import { DISTRIBUTION, SHIM_PROGRAM, VM_BOOT_FILES } from "../support/programs.ts";
import { SERVERS } from "../support/servers.ts";
import { type PhaseDurations, showPhases } from "./phases.ts";
import { interleave, median, medianRatio } from "./statistics.ts";

/** The greatest ratio of a pod's boot to that of a plain QEMU. */
const greatestRatio = 1.3;

/** In MiB: what the processes of a pod have beside the memory of its guest, and that memory. */
interface HostSide {
  readonly shim: number;
  readonly host: number;
  readonly qemu: number;
  readonly shares: number;
  readonly guest: number;
}

interface VmPod {
  readonly phases: PhaseDurations;
  readonly memory: HostSide;
  readonly accelerator: string;
}

/** Milliseconds of a QEMU without a host, by its console. */
interface PlainBoot {
  readonly toInit: number;
  readonly toAgent: number;
}

export interface VmResults {
  readonly pairs: number;
  readonly accelerator: string;
  readonly phases: PhaseDurations;
  readonly plain: PlainBoot;
  /** Of the phase `boot` to the plain QEMU's way to its agent: the median of the pairs. */
  readonly bootRatio: number;
  readonly memory: HostSide;
}

export interface VmBenchOptions extends Isolation {
  readonly pairs: number;
  readonly json: string | undefined;
  readonly print: (line: string) => void;
}

/** Returns 1 if a pod boots slower, by too much, than a plain QEMU does. */
export async function benchVm({ pairs, json, print, directory, signal }: VmBenchOptions): Promise<number> {
  const images = await makeImages(join(directory, "images"));
  let count = 0;
  const once = async (): Promise<VmPod> => {
    count += 1;
    const home = join(directory, `pod-${count}`);
    mkdirSync(home);
    return await runPod(home, images.rootfs, signal);
  };
  // It starts the emulated host, which unpacks the kernel once.
  const { accelerator } = await once();
  const { ours, peers } = await interleave(pairs, once, () => bootPlain(accelerator));
  const middle = (of: (pod: VmPod) => number): number => median(ours.map(of));
  const memoryOf = (part: keyof HostSide): number => middle(({ memory }) => memory[part]);
  const results: VmResults = {
    pairs,
    accelerator,
    phases: phasesOf((phase) => middle(({ phases }) => phases[phase])),
    plain: {
      toInit: median(peers.map(({ toInit }) => toInit)),
      toAgent: median(peers.map(({ toAgent }) => toAgent)),
    },
    bootRatio: medianRatio(
      ours.map(({ phases }) => phases.boot),
      peers.map(({ toAgent }) => toAgent),
    ),
    memory: {
      shim: memoryOf("shim"),
      host: memoryOf("host"),
      qemu: memoryOf("qemu"),
      shares: memoryOf("shares"),
      guest: memoryOf("guest"),
    },
  };
  show(results, print);
  if (json !== undefined) writeFileSync(resolve(json), `${JSON.stringify(results, undefined, 2)}\n`);
  return results.bootRatio <= greatestRatio ? 0 : 1;
}

function phasesOf(of: (phase: Phase) => number): PhaseDurations {
  return Object.fromEntries(PHASES.map((phase) => [phase, of(phase)])) as PhaseDurations;
}

async function runPod(directory: string, image: string, signal: AbortSignal): Promise<VmPod> {
  const durations = new Map<Phase, number>();
  const observer = { begins: () => undefined, ended: (phase: Phase, ms: number) => void durations.set(phase, ms) };
  const environment = { [hostVariables.idleMs]: "600000", [GUEST_VARIABLE]: "qemu" };
  const executable = join(DISTRIBUTION, SHIM_PROGRAM);
  const pod = await Pod.run({ executable, directory, id: "pod", environment, observer, signal });
  let measured: Pick<VmPod, "memory" | "accelerator">;
  try {
    await pod.runContainer({ id: "one", args: ["true"], rootfs: readOnlyRoot(image) });
    measured = { memory: hostSide(), accelerator: acceleratorOf(machineLine()) };
    await pod.remove();
  } finally {
    await pod.abandon();
  }
  return { ...measured, phases: phasesOf((phase) => durations.get(phase) ?? Number.NaN) };
}

async function bootPlain(accelerator: string): Promise<PlainBoot> {
  const folder = join(DISTRIBUTION, VM_BOOT_FILES);
  const steps = await tryBoot(folder, join(folder, "qemu"), accelerator);
  const inInit = steps.find(({ what }) => what === "file systems are mounted");
  const up = steps.at(-1);
  if (inInit === undefined || up === undefined) throw new Error("the console of a plain QEMU did not name its steps");
  return { toInit: inInit.afterMs, toAgent: up.afterMs };
}

function machineLine(): string {
  const [machine] = readProcesses().filter(({ command }) => SERVERS["guest agent"].test(command));
  if (machine === undefined) throw new Error("no virtual machine runs");
  return machine.command;
}

function acceleratorOf(line: string): string {
  return / -accel (\w+)/.exec(line)?.[1] ?? "tcg";
}

const diod = /(^|\/)diod /;

function hostSide(): HostSide {
  const all = (pattern: RegExp): readonly Memory[] =>
    readProcesses()
      .filter(({ command }) => pattern.test(command))
      .map(({ pid }) => memoryOf(pid));
  const sum = (memories: readonly Memory[]): number => memories.reduce((total, { own }) => total + own, 0);
  const machines = all(SERVERS["guest agent"]);
  return {
    shim: sum(all(SERVERS.shim)),
    host: sum(all(SERVERS["emulated host"])),
    qemu: sum(machines),
    shares: sum(all(diod)),
    guest: machines.reduce((total, { shared }) => total + shared, 0),
  };
}

/** In MiB. A guest's memory, and the kernel that is kept for all, are files in memory. */
interface Memory {
  readonly own: number;
  readonly shared: number;
}

function memoryOf(pid: number): Memory {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
  const of = (name: string): number => Number(text.match(new RegExp(`^${name}:\\s+(\\d+) kB$`, "m"))?.[1] ?? 0) / 1024;
  return { own: of("Pss_Anon") + of("Pss_File"), shared: of("Pss_Shmem") };
}

function show(
  { pairs, accelerator, phases, plain, bootRatio, memory }: VmResults,
  print: (line: string) => void,
): void {
  print(`a pod in a virtual machine (${accelerator}); the emulated host was running`);
  showPhases({ phases }, pairs, print);
  const row = (what: string, value: number, unit: string): void =>
    print(`${what.padEnd(38)}${`${value.toFixed(1)} ${unit}`.padStart(14)}`);
  print("");
  row("plain QEMU, until its init runs", plain.toInit, "ms");
  row("plain QEMU, until its agent is up", plain.toAgent, "ms");
  print(
    `${"boot of the pod to that".padEnd(38)}${`${bootRatio.toFixed(2)}x`.padStart(14)} (at most ${greatestRatio}x)`,
  );
  print("");
  row("memory of the shim", memory.shim, "MiB");
  row("memory of the emulated host", memory.host, "MiB");
  row("memory of QEMU itself", memory.qemu, "MiB");
  row("memory of the servers of shares", memory.shares, "MiB");
  row("of the guest, with its kernel's file", memory.guest, "MiB");
}
