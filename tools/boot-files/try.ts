/** Boots the boot files once in an emulated machine without a host, and tells what took how long. */
import { join } from "node:path";
import { startCommand } from "@uvm-shim/test-support/command";
import { bootFiles } from "./build.ts";

const memoryMb = 512;
const mostMs = 120_000;
/** The agent's own word. It has found no host to dial by then. */
const isUp = /"msg":"guest is up"/;

/** What a machine needs to boot to the agent: nothing of the host's is attached but the root and a console. */
export function machineArguments(folder: string, accelerator = "tcg"): readonly string[] {
  const place = (name: string): string => join(folder, name);
  return [
    ...["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"],
    ...["-M", "pc", "-accel", accelerator, "-cpu", "max", "-smp", "2", "-m", String(memoryMb)],
    ...["-kernel", place(bootFiles.kernel), "-initrd", place(bootFiles.initialRamDisk)],
    ...["-append", "console=ttyS0 panic=-1 quiet hostname=tried"],
    ...["-drive", `if=none,id=root,format=raw,readonly=on,file=${place(bootFiles.root)}`],
    ...["-device", "virtio-blk-pci,drive=root", "-device", "virtio-rng-pci", "-device", "pvpanic"],
    ...["-serial", "stdio"],
  ];
}

/** One step of the boot: when the console told of it, by the clock of this machine and by that of the guest. */
export interface BootStep {
  readonly what: string;
  readonly afterMs: number;
  readonly guestSeconds?: number;
}

/** Boots until the agent is up, and ends the machine. Rejects with the end of the console. */
export async function tryBoot(folder: string, qemu: string, accelerator?: string): Promise<readonly BootStep[]> {
  const started = performance.now();
  const steps: BootStep[] = [];
  const libraries = join(qemu, "usr", "lib", "x86_64-linux-gnu");
  const machine = startCommand(join(qemu, "usr", "bin", "qemu-system-x86_64"), machineArguments(folder, accelerator), {
    environment: { ...process.env, LD_LIBRARY_PATH: libraries },
    timeoutMs: mostMs,
  });
  let rest = "";
  machine.process.stdout?.on("data", (chunk: Buffer) => {
    const afterMs = Math.round(performance.now() - started);
    const lines = `${rest}${chunk}`.split(/\r?\n/);
    rest = lines.pop() ?? "";
    for (const line of lines) {
      const [, seconds, what] = /^uvm-shim: (\d+\.\d+) s: (.*)$/.exec(line) ?? [];
      if (what !== undefined) steps.push({ what, afterMs, guestSeconds: Number(seconds) });
    }
  });
  try {
    await machine.outputMatches(isUp, mostMs);
    return [...steps, { what: "the agent is up", afterMs: Math.round(performance.now() - started) }];
  } finally {
    machine.process.kill("SIGKILL");
    await machine.finished;
  }
}
