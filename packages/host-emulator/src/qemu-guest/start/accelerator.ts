import { type Clock, messageOf, withDeadline } from "@uvm-shim/lifecycle";
import type { Accelerator } from "./command-line.ts";

/** The port at which a guest ends the QEMU that has this device, and how its number becomes QEMU's exit code. */
const exitPort = 0xf4;
const exitNumber = 0x2a;
const exitCode = (exitNumber << 1) | 1;

/** A processor begins 16 bytes before the end of the firmware, whose size is a multiple of this. */
const firmwareBytes = 64 * 1024;
const firstInstruction = firmwareBytes - 16;
const halt = 0xf4;

/** Firmware that ends its machine at once: `mov al, 0x2a; out 0xf4, al; hlt`. */
export function probeFirmware(): Buffer {
  const image = Buffer.alloc(firmwareBytes, halt);
  image.set([0xb0, exitNumber, 0xe6, exitPort, halt], firstInstruction);
  return image;
}

/** The arguments of a QEMU that runs the firmware at a path with KVM. */
export function probeArguments(firmware: string): readonly string[] {
  return [
    ...["-nodefaults", "-no-user-config", "-display", "none", "-machine", "pc", "-m", "16M"],
    ...["-accel", "kvm", "-cpu", "host", "-bios", firmware],
    ...["-device", `isa-debug-exit,iobase=${exitPort},iosize=1`],
  ];
}

/** How KVM is tried. */
export interface KvmProbe {
  readonly clock: Clock;
  /** Milliseconds until a machine counts as one that hangs, as where /dev/kvm is there and does not work. */
  readonly timeoutMs: number;
  /** Runs a QEMU with these arguments; resolves to its exit code. An abort ends it. */
  run(signal: AbortSignal): Promise<number | null>;
  /** Says why KVM is not used. */
  report(message: string): void;
}

/** KVM where a guest's first instructions run by it, which opening its device does not tell. Never rejects. */
export async function findAccelerator({ clock, timeoutMs, run, report }: KvmProbe): Promise<Accelerator> {
  try {
    const code = await withDeadline(run, { clock, milliseconds: timeoutMs });
    if (code === exitCode) return "kvm";
    report(`guests run without KVM: a trial ended with exit code ${code}`);
  } catch (error) {
    report(`guests run without KVM: a trial failed: ${messageOf(error)}`);
  }
  return "tcg";
}
