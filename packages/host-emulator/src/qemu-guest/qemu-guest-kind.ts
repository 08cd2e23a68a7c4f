import { closeSync, existsSync } from "node:fs";
import { totalmem } from "node:os";
import { join } from "node:path";
import { type Clock, systemClock, withDeadline } from "@uvm-shim/lifecycle";
import type { GuestBoot, GuestKind, GuestMachine, GuestMachineSpecification, LinuxBoot } from "../guest-machine.ts";
import { HcsFailure } from "../hcs-failure.ts";
import { VmCgroups } from "../process-guest/cgroups.ts";
import { removeLeftProcesses } from "../process-guest/leftovers.ts";
import { type MachineShares, noShares, type ServedMachine, type VsockDevice } from "./parts.ts";
import { QemuGuestMachine, type QemuStart } from "./qemu-guest-machine.ts";
import { startShareServer } from "./share-server.ts";
import { type ShareServing, VsockShares } from "./shares.ts";
import { findAccelerator } from "./start/accelerator.ts";
import { BootImages } from "./start/boot-images.ts";
import type { Accelerator } from "./start/command-line.ts";
import { type RunningQemu, startConfined } from "./start/confined.ts";
import type { ProgramInstallation } from "./start/installation.ts";
import { initrdOf, isKernelImage } from "./start/kernel.ts";
import { tryKvm } from "./start/kvm-trial.ts";
import { xzOf } from "./start/unpack-xz.ts";

/** What virtual machines are made with. */
export interface QemuGuestOptions {
  /** Looked for at each boot. Throws an HcsFailure that says how to get one. */
  installation(): Promise<ProgramInstallation>;
  /** Asked once, at the first boot. By default KVM is tried, where there is one. */
  accelerator?(): Promise<Accelerator>;
  openVsock(machine: ServedMachine): Promise<VsockDevice>;
  /** Of the server of Plan9 shares, looked for at each mount; by default machines have no shares. */
  shareServer?(): Promise<ProgramInstallation>;
  /** Milliseconds until a machine's processors have to run. */
  readonly bootTimeoutMs: number;
  readonly clock?: Clock;
  readonly report: (message: string) => void;
}

const timeouts = { answerMs: 30_000, unplugMs: 5_000, resizeMs: 10_000, cgroupMs: 5_000, closingMs: 2_000 };
/** Until the server of a mount has to run. */
const shareTimeoutMs = 10_000;
const kvmPath = "/dev/kvm";
/** A trial takes QEMU's start and some instructions: tens of milliseconds. */
const kvmTimeoutMs = 3_000;
const mebibyte = 2 ** 20;
/** Of QEMU's memory in hot-plugged blocks. */
const growthStepMb = 128;
/** Users that no system gives to anybody; each machine has one of them. */
const firstUser = 0x70000000;
const userDigits = 6;

/** Guests that are virtual machines, each a QEMU with a real kernel. */
export class QemuGuestKind implements GuestKind {
  readonly name = "qemu";
  readonly readsVhdx = true;
  readonly #options: QemuGuestOptions;
  readonly #images: BootImages;
  #accelerator: Promise<Accelerator> | undefined;

  constructor(options: QemuGuestOptions) {
    this.#options = options;
    this.#images = new BootImages(options.report);
  }

  recognises(boot: GuestBoot): boolean {
    return boot.kind === "Linux" && isKernelImage(boot.kernel.KernelFilePath);
  }

  create(specification: GuestMachineSpecification): GuestMachine {
    const { boot, name, directory, podGroup, memoryMb } = specification;
    if (boot.kind !== "Linux") {
      throw new HcsFailure("ERROR_NOT_SUPPORTED", "virtual machines boot Linux kernels only");
    }
    const { bootTimeoutMs: bootMs, clock = systemClock, report } = this.#options;
    const cgroups = new VmCgroups(name, undefined, podGroup);
    return new QemuGuestMachine(specification, {
      boot,
      clock,
      cgroups,
      mostMemoryMb: mostMemoryOf(memoryMb),
      accelerator: () => this.#findAccelerator(),
      start: (start) => this.#start(specification, boot, start),
      openVsock: () => this.#options.openVsock({ name, directory }),
      shares: this.#sharesOf({ name, directory }, cgroups),
      timeouts: { bootMs, ...timeouts },
      report,
    });
  }

  #sharesOf(machine: ServedMachine, cgroups: VmCgroups): MachineShares {
    const { shareServer, clock = systemClock, report } = this.#options;
    if (shareServer === undefined) return noShares;
    let mounts = 0;
    const start: ShareServing["start"] = async (connection, shares) => {
      const installation = await shareServer();
      // Those of the pod, once the machine is in one.
      const { entrances } = cgroups;
      const mountPoint = join(machine.directory, `share-${++mounts}`);
      return withDeadline(
        (signal) => startShareServer({ installation, entrances, mountPoint, signal }, connection, shares),
        { clock, milliseconds: shareTimeoutMs },
      );
    };
    return new VsockShares(machine, { start, report });
  }

  /** A failure is not kept. */
  #findAccelerator(): Promise<Accelerator> {
    const { accelerator = () => this.#tryKvm() } = this.#options;
    this.#accelerator ??= accelerator().catch((error: unknown) => {
      this.#accelerator = undefined;
      throw error;
    });
    return this.#accelerator;
  }

  async #tryKvm(): Promise<Accelerator> {
    if (!existsSync(kvmPath)) return "tcg";
    const installation = await this.#options.installation();
    const { clock = systemClock, report } = this.#options;
    const run = (signal: AbortSignal): Promise<number | null> => tryKvm(installation, firstUser, signal);
    return findAccelerator({ clock, timeoutMs: kvmTimeoutMs, run, report });
  }

  async #start(
    { name, directory }: GuestMachineSpecification,
    { kernel }: LinuxBoot,
    { parameters, entrances, vsock, serial, accelerator, signal }: QemuStart,
  ): Promise<RunningQemu> {
    const installation = await this.#options.installation();
    const initrd = initrdOf(kernel);
    const files = { kernel: kernel.KernelFilePath, ...(initrd !== undefined && { initrd }) };
    const images = await this.#images.open(files, xzOf(installation));
    try {
      return await startConfined({
        installation,
        parameters,
        descriptors: [vsock, ...images, ...(serial === undefined ? [] : [serial])],
        entrances,
        mountPoint: join(directory, "root"),
        user: userOf(name),
        withKvm: accelerator === "kvm",
        signal,
      });
    } finally {
      for (const image of images) closeSync(image);
    }
  }

  async removeLeftovers(name: string, podGroup?: string): Promise<void> {
    await removeLeftProcesses(new VmCgroups(name, undefined, podGroup), timeouts.cgroupMs);
  }

  close(): void {
    this.#images.close();
  }
}

/** As much as this machine has, since the host of a machine may raise its memory to any size. */
function mostMemoryOf(memoryMb: number): number {
  const steps = Math.floor((totalmem() / mebibyte - memoryMb) / growthStepMb);
  return memoryMb + Math.max(0, steps) * growthStepMb;
}

/** A machine's user, from the random digits of its name. */
function userOf(name: string): number {
  return firstUser + Number.parseInt(name.slice(0, userDigits), 16);
}
