import { closeSync, openSync, readSync } from "node:fs";
import { availableParallelism } from "node:os";
import type { LinuxKernelDirect } from "@uvm-shim/hcs-schema";
import { processGuestKernel } from "@uvm-shim/host-protocol/guest";
import { delay } from "@uvm-shim/lifecycle";
import type { GuestKind, GuestMachine, GuestMachineSpecification } from "../guest-machine.ts";
import { BootTurns } from "./boot-queue.ts";
import { VmCgroups } from "./cgroups.ts";
import { GuestImage } from "./guest-image.ts";
import { killIfAlive, ProcessGuestMachine } from "./process-guest-machine.ts";
import { SettingsGuard } from "./settings-guard.ts";

const cgroupTimeoutMs = 5_000;
/** With 1, many boots on a busy machine would be too slow. */
const bootsPerProcessor = 2;
/** A hundred times what a boot takes on an idle machine would be more. */
const longestTurnMs = 5_000;

export interface ProcessGuestOptions {
  readonly stateDirectory: string;
  /** Milliseconds that the guest's agent has to come up. */
  readonly bootTimeoutMs: number;
  /** Nice value of guests; by default that of this process. */
  readonly guestPriority?: number;
  readonly report: (message: string) => void;
}

/** Guests that are processes of this kernel in their own namespaces, booted by the guest agent. */
export class ProcessGuestKind implements GuestKind {
  readonly name = "process";
  readonly #options: ProcessGuestOptions;
  readonly #image: GuestImage;
  readonly #settings: SettingsGuard;
  #hasReportedDevices = false;
  readonly #boots = new BootTurns({ most: bootsPerProcessor * availableParallelism(), longestMs: longestTurnMs });

  constructor(options: ProcessGuestOptions) {
    this.#options = options;
    this.#image = new GuestImage(options.stateDirectory);
    this.#settings = new SettingsGuard(options.report);
  }

  recognises({ KernelFilePath: path }: LinuxKernelDirect): boolean {
    const buffer = Buffer.alloc(processGuestKernel.length + 1);
    const file = openSync(path, "r");
    try {
      const line = buffer.toString("latin1", 0, readSync(file, buffer, 0, buffer.length, 0));
      return line.trimEnd() === processGuestKernel;
    } finally {
      closeSync(file);
    }
  }

  create(specification: GuestMachineSpecification): GuestMachine {
    const { guestPriority: priority } = this.#options;
    return new ProcessGuestMachine(specification, {
      image: this.#image,
      cgroups: new VmCgroups(specification.name, undefined, specification.podGroup),
      boots: this.#boots,
      settings: this.#settings,
      devices: { report: (error) => this.#reportDevices(error) },
      ...(priority !== undefined && { priority }),
      bootTimeoutMs: this.#options.bootTimeoutMs,
      cgroupTimeoutMs,
      report: this.#options.report,
    });
  }

  #reportDevices({ message }: Error): void {
    if (this.#hasReportedDevices) return;
    this.#hasReportedDevices = true;
    this.#options.report(`guests that create device nodes can open any device of this machine: ${message}`);
  }

  async removeLeftovers(name: string, podGroup?: string): Promise<void> {
    const cgroups = new VmCgroups(name, undefined, podGroup);
    cgroups.thaw();
    const deadline = performance.now() + cgroupTimeoutMs;
    for (let pids = cgroups.processes(); pids.length > 0 && performance.now() < deadline; pids = cgroups.processes()) {
      for (const pid of pids) killIfAlive(pid);
      await delay(5);
    }
    await cgroups.remove(cgroupTimeoutMs);
  }

  close(): void {
    this.#image.remove();
  }
}
