import { hresults, type Plan9Share } from "@uvm-shim/hcs-schema";
import { abortable, type Clock, messageOf, settlesWithin, withDeadline } from "@uvm-shim/lifecycle";
import type {
  DiskSlot,
  GuestEnd,
  GuestMachine,
  GuestMachineSpecification,
  GuestNic,
  LinuxBoot,
  MachineUsage,
  ProcessorShare,
} from "../guest-machine.ts";
import { asFailure, HcsFailure } from "../hcs-failure.ts";
import type { VmCgroups } from "../process-guest/cgroups.ts";
import type { DiskFile } from "../system/disk-file.ts";
import { QemuDisks } from "./devices/disks.ts";
import { QemuMemory } from "./devices/memory.ts";
import { QemuNics } from "./devices/nics.ts";
import { type EndSigns, reasonOf } from "./end.ts";
import type { MachineShares, QemuTimeouts, VsockDevice } from "./parts.ts";
import { QmpClient, type QmpEvent } from "./qmp/qmp-client.ts";
import { type Accelerator, commandLine, translatedCodeMb } from "./start/command-line.ts";
import { kvmDevice, type RunningQemu } from "./start/confined.ts";
import { initrdOf } from "./start/kernel.ts";
import { openSerialPort } from "./start/serial-port.ts";

/** What is started as a machine's QEMU. */
export interface QemuStart {
  readonly accelerator: Accelerator;
  readonly parameters: readonly string[];
  readonly entrances: readonly string[];
  /** Of the machine's end of its vsock device, which the caller closes. */
  readonly vsock: number;
  /** Of a listening socket, for a machine with a serial port; the caller closes it. */
  readonly serial: number | undefined;
  /** Ends the start, not what was started. */
  readonly signal: AbortSignal;
}

/** The cgroups of a machine, as they are used for QEMU. */
export type MachineGroups = Pick<
  VmCgroups,
  | "allowDevice"
  | "create"
  | "endBoot"
  | "enterPod"
  | "entrances"
  | "limitMemory"
  | "limitProcessors"
  | "remove"
  | "removeLeft"
  | "usage"
  | "useProcessors"
>;

/** What a machine needs of its kind. */
export interface QemuMachineParts {
  readonly boot: LinuxBoot;
  readonly clock: Clock;
  readonly cgroups: MachineGroups;
  /** What the memory may grow to, in MiB. */
  readonly mostMemoryMb: number;
  accelerator(): Promise<Accelerator>;
  /** Starts QEMU with the kernel of the document. */
  start(start: QemuStart): Promise<RunningQemu>;
  openVsock(): Promise<VsockDevice>;
  readonly shares: MachineShares;
  readonly timeouts: QemuTimeouts;
  readonly report: (message: string) => void;
}

/** What QEMU itself needs beside the guest's memory: its own, and with TCG the translated code. */
const ownMemoryMb = 128;
const overheadMb: { readonly [Name in Accelerator]: number } = {
  kvm: ownMemoryMb,
  tcg: ownMemoryMb + translatedCodeMb,
};

/** A QEMU that can be asked. */
interface Powered {
  readonly qemu: RunningQemu;
  readonly client: QmpClient;
  readonly disks: QemuDisks;
  readonly nics: QemuNics;
  readonly memory: QemuMemory;
}

type Power =
  | { readonly kind: "off" }
  | { readonly kind: "starting"; readonly qemu: RunningQemu }
  | ({ readonly kind: "on" } & Powered)
  | { readonly kind: "killed" };

/**
 * One guest: a virtual machine. Its boot ends when its processors run, as on Hyper-V; the guest shows itself by dialling.
 * What the guest has no counterpart for in a virtual machine is refused.
 */
export class QemuGuestMachine implements GuestMachine {
  readonly #specification: GuestMachineSpecification;
  readonly #parts: QemuMachineParts;
  readonly #killed = new AbortController();
  readonly #ended = Promise.withResolvers<GuestEnd>();
  readonly #releases: (() => unknown)[] = [];
  #signs: EndSigns = {};
  #power: Power = { kind: "off" };
  #overheadMb = 0;

  constructor(specification: GuestMachineSpecification, parts: QemuMachineParts) {
    this.#specification = specification;
    this.#parts = parts;
  }

  get ended(): Promise<GuestEnd> {
    return this.#ended.promise;
  }

  async boot(): Promise<void> {
    let qemu: RunningQemu;
    try {
      qemu = await this.#start();
    } catch (error) {
      await this.#release({ orderly: false, reason: "the virtual machine could not be started", console: "" });
      throw error;
    }
    const gone = new AbortController();
    void qemu.ended.then((end) => {
      this.#signs = { ...this.#signs, end, diagnostics: qemu.diagnostics.text };
      const { orderly, reason } = reasonOf(this.#signs);
      const text = qemu.console.text.trim();
      const events = text === "" ? {} : { events: [`console: ${text}`] };
      const failure = new HcsFailure("HCS_E_UNEXPECTED_EXIT", reason, events);
      gone.abort(failure);
      if (this.#power.kind === "on") this.#power.client.fail(failure);
      return this.#release({ orderly, reason, console: qemu.console.text });
    });
    try {
      await this.#inTime((until) => this.#run(qemu, until), gone.signal);
    } catch (cause) {
      // How QEMU ends says more than that its monitor has closed.
      if (asFailure(cause).hresult === hresults.HCS_E_CONNECTION_CLOSED) await this.#closes(qemu);
      this.kill();
      throw gone.signal.aborted ? gone.signal.reason : cause;
    }
  }

  #inTime<T>(work: (until: AbortSignal) => Promise<T>, signal: AbortSignal): Promise<T> {
    const { clock, timeouts } = this.#parts;
    const { bootMs: milliseconds } = timeouts;
    const error = (): Error =>
      new HcsFailure("HCS_E_CONNECTION_TIMEOUT", `the virtual machine did not run within ${milliseconds} ms`);
    return withDeadline(work, { clock, milliseconds, signal, error });
  }

  /** Whether QEMU, which has closed its monitor, ends by itself. */
  #closes(qemu: RunningQemu): Promise<boolean> {
    return settlesWithin(qemu.ended, this.#parts.timeouts.closingMs, this.#parts.clock);
  }

  async #start(): Promise<RunningQemu> {
    const { signal } = this.#killed;
    const { name, memoryMb, processors, limits: share, cpus, serialSocket } = this.#specification;
    const { boot, cgroups, mostMemoryMb, timeouts } = this.#parts;
    signal.throwIfAborted();
    const accelerator = await this.#parts.accelerator();
    signal.throwIfAborted();
    this.#overheadMb = overheadMb[accelerator];
    const parameters = commandLine({
      name: `uvm-${name}`,
      accelerator,
      memoryMb,
      mostMemoryMb,
      processors,
      kernelLine: boot.kernel.KernelCmdLine ?? "",
      hasInitrd: initrdOf(boot.kernel) !== undefined,
      hasSerialPort: serialSocket !== undefined,
    });
    // In the order of what is acquired: all is released, whatever was acquired of it.
    this.#releases.push(() => cgroups.remove(timeouts.cgroupMs));
    cgroups.create({ memoryMb: memoryMb + this.#overheadMb, processors, share, cpus });
    if (accelerator === "kvm") cgroups.allowDevice("c", kvmDevice.major, kvmDevice.minor);
    this.#releases.push(() => this.#parts.shares.close());
    const serial = openSerialPort(serialSocket);
    this.#releases.push(() => serial?.close());
    const vsock = await this.#parts.openVsock();
    this.#releases.push(() => vsock.close());
    let qemu: RunningQemu;
    try {
      signal.throwIfAborted();
      const request = { accelerator, parameters, vsock: vsock.descriptor, serial: serial?.descriptor };
      qemu = await this.#inTime(
        (until) => this.#parts.start({ ...request, entrances: cgroups.entrances, signal: until }),
        signal,
      );
    } finally {
      vsock.release();
    }
    this.#releases.push(() => qemu.monitor.close());
    // It fails too when QEMU ends, which is then the reason.
    void vsock.failed.then(async (error) => {
      if (!(await this.#closes(qemu))) this.#endBecause(`its vsock device failed: ${messageOf(error)}`);
    });
    if (this.#wasKilled()) qemu.kill();
    else this.#power = { kind: "starting", qemu };
    return qemu;
  }

  async #run(qemu: RunningQemu, until: AbortSignal): Promise<void> {
    const { clock, timeouts, report, cgroups, mostMemoryMb } = this.#parts;
    const { memoryMb: bootMb, processors, limits: share } = this.#specification;
    // After the end nothing is released any more.
    until.throwIfAborted();
    const client = new QmpClient(qemu.monitor, {
      clock,
      answerTimeoutMs: timeouts.answerMs,
      failed: (failure) => void this.#lost(qemu, failure),
    });
    this.#releases.push(() => client.fail(new HcsFailure("HCS_E_INVALID_STATE", "the guest has ended")));
    client.listen((event) => this.#notice(event));
    const patience = { clock, unplugTimeoutMs: timeouts.unplugMs };
    const nics = new QemuNics(client, patience, report);
    this.#releases.push(() => nics.release());
    const disks = new QemuDisks(client, patience, report);
    const memoryPatience = { clock, resizeTimeoutMs: timeouts.resizeMs };
    const memory = new QemuMemory(client, { bootMb, mostMb: mostMemoryMb }, memoryPatience, report);
    await abortable(client.start(until), until);
    await abortable(client.execute("cont"), until);
    if (this.#wasKilled()) throw endedWhileStarting();
    this.#power = { kind: "on", qemu, client, disks, nics, memory };
    cgroups.endBoot({ processors, share });
  }

  attachDisk(slot: DiskSlot, disk: DiskFile): Promise<void> {
    return this.#on((powered) => powered.disks.attach(slot, disk));
  }

  detachDisk(slot: DiskSlot): Promise<void> {
    return this.#on((powered) => powered.disks.detach(slot));
  }

  addShare(share: Plan9Share): Promise<void> {
    return this.#on(() => this.#parts.shares.add(share));
  }

  removeShare(accessName: string): Promise<void> {
    return this.#on(() => this.#parts.shares.remove(accessName));
  }

  async assignDevice(): Promise<void> {
    throw unsupported("devices of this machine cannot be assigned to a virtual machine");
  }

  async unassignDevice(): Promise<void> {
    throw unsupported("a virtual machine has no assigned devices");
  }

  async offerNetwork(): Promise<void> {
    throw unsupported("containers of a virtual machine cannot join a network namespace of this machine");
  }

  addNic(nic: GuestNic): Promise<void> {
    return this.#on((powered) => powered.nics.add(nic));
  }

  async disconnectNic(id: string): Promise<void> {
    if (this.#power.kind === "on") await this.#power.nics.disconnect(id);
  }

  async removeNic(id: string): Promise<void> {
    await this.#on((powered) => powered.nics.remove(id));
  }

  enterPodGroup(path: string): Promise<void> {
    return this.#on(async () => {
      this.#parts.cgroups.enterPod(path);
      await this.#parts.cgroups.removeLeft(this.#parts.timeouts.cgroupMs);
    });
  }

  /** QEMU's own limit is wider than the guest's memory at each moment. */
  resizeMemory(memoryMb: number): Promise<void> {
    return this.#on(async ({ memory }) => {
      const { cgroups } = this.#parts;
      const limit = (sizeMb: number): void => cgroups.limitMemory(sizeMb + this.#overheadMb);
      const former = memory.sizeMb;
      if (memoryMb > former) limit(memoryMb);
      try {
        await memory.resize(memoryMb);
      } finally {
        this.#limitAgain(() => limit(memory.sizeMb));
      }
    });
  }

  /** The guest has what it has, and what QEMU itself uses is no failure of the change. */
  #limitAgain(limit: () => void): void {
    try {
      limit();
    } catch (error) {
      this.#reportTrouble(error);
    }
  }

  limitProcessors(share: ProcessorShare): Promise<void> {
    return this.#on(async () => this.#parts.cgroups.limitProcessors(this.#specification.processors, share));
  }

  useProcessors(cpus: string | undefined): Promise<void> {
    return this.#on(async () => this.#parts.cgroups.useProcessors(cpus));
  }

  usage(): MachineUsage {
    const { memory } = this.#require();
    return { ...this.#parts.cgroups.usage(), memoryLimitBytes: memory.sizeMb * 2 ** 20 };
  }

  async freeze(isFrozen: boolean): Promise<void> {
    await this.#on(({ client }) => client.execute(isFrozen ? "stop" : "cont"));
  }

  /** Presses the power button. */
  shutdown(): void {
    if (this.#power.kind !== "on") return;
    this.#power.client.execute("system_powerdown").catch((error: unknown) => this.#reportTrouble(error));
  }

  kill(): void {
    const power = this.#power;
    if (power.kind === "killed") return;
    this.#power = { kind: "killed" };
    this.#killed.abort(endedWhileStarting());
    if (power.kind === "on" || power.kind === "starting") power.qemu.kill();
  }

  async #on<T>(action: (powered: Powered) => Promise<T>): Promise<T> {
    return action(this.#require());
  }

  #require(): Powered {
    if (this.#power.kind === "on") return this.#power;
    throw new HcsFailure("HCS_E_INVALID_STATE", "the guest has ended");
  }

  #wasKilled(): boolean {
    return this.#power.kind === "killed";
  }

  #notice({ name, data }: QmpEvent): void {
    if (name === "GUEST_PANICKED") this.#signs = { ...this.#signs, hasPanicked: true };
    if (name === "SHUTDOWN") this.#signs = { ...this.#signs, shutdown: String(data.reason) };
  }

  /** QEMU closes its monitor before it ends. */
  async #lost(qemu: RunningQemu, { hresult, message }: HcsFailure): Promise<void> {
    if (hresult !== hresults.HCS_E_CONNECTION_CLOSED) this.#endBecause(message);
    else if (!(await this.#closes(qemu))) this.#endBecause(`${message}, and goes on`);
  }

  /** Ends a machine that cannot go on, which is the reason of its end. */
  #endBecause(reason: string): void {
    if (this.#power.kind === "killed" || this.#signs.end !== undefined) return;
    this.#signs = { trouble: reason, ...this.#signs };
    this.kill();
  }

  /** Releases what belongs to the machine, the last first, despite failures, and reports its end. */
  async #release(end: GuestEnd): Promise<void> {
    this.#power = { kind: "killed" };
    for (const release of this.#releases.splice(0).reverse()) {
      try {
        await release();
      } catch (error) {
        this.#reportTrouble(error);
      }
    }
    this.#ended.resolve(end);
  }

  #reportTrouble(error: unknown): void {
    this.#parts.report(`VM ${this.#specification.name}: ${messageOf(error)}`);
  }
}

function unsupported(message: string): HcsFailure {
  return new HcsFailure("ERROR_NOT_SUPPORTED", message);
}

function endedWhileStarting(): HcsFailure {
  return new HcsFailure("HCS_E_TERMINATED_DURING_START", "the system was ended during its boot");
}
