import { closeSync, openSync, readSync } from "node:fs";
import { availableParallelism, homedir } from "node:os";
import { join } from "node:path";
import { processGuestKernel, windowsGuestBoot } from "@uvm-shim/host-protocol/guest";
import type { GuestBoot, GuestKind, GuestMachine, GuestMachineSpecification } from "../guest-machine.ts";
import { WindowsGuestMachine } from "../windows-guest/windows-guest-machine.ts";
import { BootTurns } from "./boot-queue.ts";
import { VmCgroups } from "./cgroups.ts";
import { GuestImage, linuxImage, windowsImage } from "./guest-image.ts";
import { linuxProgram, windowsProgram } from "./guest-program.ts";
import { removeLeftProcesses } from "./leftovers.ts";
import { ProcessGuestMachine, type ProcessGuestParts } from "./process-guest-machine.ts";
import { SettingsGuard } from "./settings-guard.ts";

const cgroupTimeoutMs = 5_000;
/** With 1, many boots on a busy machine would be too slow. */
const bootsPerProcessor = 2;
/** A hundred times what a boot takes on an idle machine would be more. */
const longestTurnMs = 5_000;
const wineBelowCache = "uvm-shim/wine/wine-10.1";

/** What guests that are processes of this machine are made with. */
export interface ProcessGuestOptions {
  readonly stateDirectory: string;
  /** Milliseconds that the guest's agent has to come up. */
  readonly bootTimeoutMs: number;
  /** Nice value of guests; by default that of this process. */
  readonly guestPriority?: number;
  /** Root folder of a Linux with Wine, for Windows guests; by default where the tests on Windows executables put it. */
  readonly wine?: string;
  readonly report: (message: string) => void;
}

/** Guests that are processes of this kernel in their own namespaces, booted by a guest agent for Linux or Windows. */
export class ProcessGuestKind implements GuestKind {
  readonly name = "process";
  readonly readsVhdx = false;
  readonly #options: ProcessGuestOptions;
  readonly #images: { readonly Linux: GuestImage; readonly Windows: GuestImage };
  readonly #settings: SettingsGuard;
  #hasReportedDevices = false;
  readonly #boots = new BootTurns({ most: bootsPerProcessor * availableParallelism(), longestMs: longestTurnMs });

  constructor(options: ProcessGuestOptions) {
    this.#options = options;
    this.#images = {
      Linux: new GuestImage(options.stateDirectory, linuxImage),
      Windows: new GuestImage(options.stateDirectory, windowsImage),
    };
    this.#settings = new SettingsGuard(options.report);
  }

  recognises(boot: GuestBoot): boolean {
    switch (boot.kind) {
      case "Linux":
        return hasFirstLine(boot.kernel.KernelFilePath, processGuestKernel);
      case "Windows":
        return hasFirstLine(boot.manager, windowsGuestBoot);
    }
  }

  create(specification: GuestMachineSpecification): GuestMachine {
    const { boot } = specification;
    switch (boot.kind) {
      case "Linux":
        return new ProcessGuestMachine(
          specification,
          this.#parts(specification, () => linuxProgram(boot, this.#images.Linux)),
        );
      case "Windows":
        return new WindowsGuestMachine(
          { specification, boot, stateDirectory: this.#options.stateDirectory },
          this.#parts(specification, () => windowsProgram(boot, this.#images.Windows, this.#wine)),
        );
    }
  }

  get #wine(): string {
    return this.#options.wine ?? join(process.env.XDG_CACHE_HOME ?? join(homedir(), ".cache"), wineBelowCache);
  }

  #parts(specification: GuestMachineSpecification, program: ProcessGuestParts["program"]): ProcessGuestParts {
    const { guestPriority: priority } = this.#options;
    return {
      program,
      cgroups: new VmCgroups(specification.name, undefined, specification.podGroup),
      boots: this.#boots,
      settings: this.#settings,
      devices: { report: (error) => this.#reportDevices(error) },
      ...(priority !== undefined && { priority }),
      bootTimeoutMs: this.#options.bootTimeoutMs,
      cgroupTimeoutMs,
      report: this.#options.report,
    };
  }

  #reportDevices({ message }: Error): void {
    if (this.#hasReportedDevices) return;
    this.#hasReportedDevices = true;
    this.#options.report(`guests that create device nodes can open any device of this machine: ${message}`);
  }

  async removeLeftovers(name: string, podGroup?: string): Promise<void> {
    await removeLeftProcesses(new VmCgroups(name, undefined, podGroup), cgroupTimeoutMs);
  }

  close(): void {
    for (const image of Object.values(this.#images)) image.remove();
  }
}

function hasFirstLine(path: string, expected: string): boolean {
  const buffer = Buffer.alloc(expected.length + 1);
  const file = openSync(path, "r");
  try {
    return buffer.toString("latin1", 0, readSync(file, buffer, 0, buffer.length, 0)).trimEnd() === expected;
  } finally {
    closeSync(file);
  }
}
