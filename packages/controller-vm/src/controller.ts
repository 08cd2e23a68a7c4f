import type { ComputeSystemDocument, ModifySettingRequest } from "@uvm-shim/hcs-schema";
import {
  Acquisitions,
  abortable,
  acquireOrRelease,
  ControllerError,
  type ErrorCode,
  Interruptions,
  Lifecycle,
  OperationQueue,
  observe,
  withDeadline,
  wrapError,
} from "@uvm-shim/lifecycle";
import { DeviceControllers } from "./device-controllers.ts";
import { endMachine } from "./end.ts";
import { ExitRecord, reportExit } from "./exit-record.ts";
import { GuestLog } from "./guest-log/guest-log.ts";
import { hostDevices } from "./host-devices.ts";
import { launch, startError } from "./launch.ts";
import { type VmOperation, type VmState, type VmStateKind, vmTable } from "./lifecycle.ts";
import type { VmControllerOptions } from "./options.ts";
import type { Machine, Refit } from "./resources.ts";
import { RunningVm } from "./running.ts";
import type {
  DeviceWiring,
  VmCommand,
  VmComputeSystem,
  VmExit,
  VmGuest,
  VmProcess,
  VmStatistics,
  VmUpdate,
} from "./types.ts";
import type { VmView } from "./view.ts";

/** How long the log's connections may stay open after the VM has ended, in milliseconds. */
const logDrainMs = 500;
/** How long a VM whose bridge broke has to exit by itself, which gives the reason, in milliseconds. */
const exitAfterLossMs = 1_000;

/**
 * One utility VM: creates its compute system, starts it, connects to its guest, reports its exit, and ends it.
 * Create, start and update run one at a time; what else a running VM is asked does not wait for them. Terminate
 * interrupts all of these instead of waiting for them.
 */
export class VmController<Guest extends VmGuest, Scsi, Plan9 = never, Vpci = never, Vsmb = never> {
  readonly #options: VmControllerOptions<Guest, Scsi, Plan9, Vpci, Vsmb>;
  readonly #life: Lifecycle<VmState<Guest>, VmStateKind, VmOperation>;
  readonly #queue = new OperationQueue();
  readonly #held = new Acquisitions();
  readonly #log: GuestLog;
  readonly #interruptions: Interruptions;
  readonly #exits: ExitRecord;
  readonly #running: RunningVm<Guest>;
  #machine: Machine<DeviceControllers<Guest, Scsi, Plan9, Vpci, Vsmb>> | undefined;
  /** Whether a start is under way, which then reports the VM's exit by its error. */
  #starting = false;
  /** Whether the host has started it, so that it will report an exit. */
  #started = false;
  #startedAt: Date | undefined;
  #ending = false;
  #isLost = false;
  #termination: Promise<void> | undefined;

  constructor(options: VmControllerOptions<Guest, Scsi, Plan9, Vpci, Vsmb>) {
    this.#options = options;
    this.#life = new Lifecycle(vmTable, options.id, { kind: "NotCreated" });
    this.#log = new GuestLog(options.onGuestLog);
    this.#interruptions = new Interruptions(options.id);
    this.#exits = new ExitRecord(options.clock);
    const { id, flavour, onGuestLog } = options;
    this.#running = new RunningVm({
      ...{ id, flavour, onGuestLog, interruptions: this.#interruptions },
      inTurn: (work, abort) => this.#queue.run(work, abort),
      require: (operation) => {
        this.#life.require(operation);
        return { guest: this.guest, machine: this.#require(operation) };
      },
    });
  }

  get state(): VmState<Guest> {
    return this.#life.state;
  }

  /** GUID of the VM. FailedPrecondition before it is created. */
  get runtimeId(): string {
    return this.#require("runtime id").system.runtimeId;
  }

  /** The size last set on the host and in the guest. FailedPrecondition before the VM is created. */
  get memoryInMb(): number {
    return this.#require("memory").memoryInMb;
  }

  get startedAt(): Date | undefined {
    return this.#startedAt;
  }

  /** The exit; undefined until the VM has ended. */
  get exit(): VmExit | undefined {
    return this.#exits.exit;
  }

  /** Whether its guest is gone: the bridge may be lost before the host reports the exit. */
  get isLost(): boolean {
    return this.#isLost || this.exit !== undefined;
  }

  /** FailedPrecondition unless the VM runs; the error is `gone` once the VM has ended. */
  get guest(): Guest {
    const { state } = this;
    if (state.kind === "Running") return state.guest;
    throw this.#notRunning("use the guest of");
  }

  /** FailedPrecondition before the VM is created, and when its document has no SCSI controller. */
  get scsi(): Scsi {
    return this.#require("SCSI controllers").devices.scsi;
  }

  /**
   * Made at first use. FailedPrecondition where the document has no Plan9, Unimplemented where this flavour has none.
   */
  get plan9(): Plan9 {
    return this.#require("Plan9 shares").devices.plan9;
  }

  /**
   * Made at first use. FailedPrecondition where the kernel has PCI off, Unimplemented where this flavour has no
   * devices.
   */
  get vpci(): Vpci {
    return this.#require("assigned devices").devices.vpci;
  }

  /** Made at first use. FailedPrecondition where the document has no VSMB, Unimplemented where this flavour has none. */
  get vsmb(): Vsmb {
    return this.#require("VSMB shares").devices.vsmb;
  }

  /** The device controllers that have been made so far. */
  get madeDevices(): Partial<DeviceControllers<Guest, Scsi, Plan9, Vpci, Vsmb>["made"]> {
    return this.#machine?.devices.made ?? {};
  }

  /** For the network controller of a pod. FailedPrecondition before the VM is created. */
  get networkWiring(): DeviceWiring<Guest> {
    return this.#require("networks").devices.wiring;
  }

  /** Creates the compute system without starting it. After a failure nothing of it is left. */
  create({ document }: { readonly document: ComputeSystemDocument }, signal?: AbortSignal): Promise<void> {
    return this.#inTurn("create VM", signal, async (abort) => {
      this.#life.require("create");
      const { id, host, devices: makers } = this.#options;
      const devices = new DeviceControllers(this.#wiring(), document, makers);
      const system = await acquireOrRelease(host.createComputeSystem(id, document, abort), abort, (late) =>
        late.close(),
      );
      this.#held.add({ name: "compute system", release: (bound) => abortable(system.close(), bound) });
      const { SizeInMB: memoryInMb } = document.VirtualMachine.ComputeTopology.Memory;
      this.#machine = { system, document, devices, memoryInMb };
      this.#life.succeed("create", { kind: "Created" });
      void this.#watchExit(system);
    });
  }

  /**
   * Starts the VM and connects to its guest. No effect on a running VM. After a failure the state is Invalid:
   * terminate.
   */
  start(signal?: AbortSignal): Promise<void> {
    return this.#inTurn("start VM", signal, async (abort) => {
      if (this.state.kind === "Running") return;
      this.#life.require("start");
      const { clock, startTimeoutMs = 120_000 } = this.#options;
      const began = clock.now();
      let phase = "";
      this.#starting = true;
      try {
        const guest = await this.#within(startTimeoutMs, (bound) =>
          this.#launch(AbortSignal.any([abort, bound]), (next) => {
            phase = next;
          }),
        );
        // The VM may have exited at the moment when the guest answered.
        abort.throwIfAborted();
        this.#startedAt = clock.now();
        this.#life.succeed("start", { kind: "Running", guest, startedAt: this.#startedAt });
        void guest.closed.then((cause) => this.#onBridgeLost(cause));
      } catch (error) {
        const elapsedMs = clock.now().getTime() - began.getTime();
        const cause = startError(this.#options.id, error, { phase, elapsedMs, lastLines: this.#log.lastLines });
        this.#life.fail("start", { kind: "Invalid", cause });
        throw cause;
      } finally {
        this.#starting = false;
      }
    });
  }

  #launch(signal: AbortSignal, onPhase: (phase: string) => void): Promise<Guest> {
    const { system } = this.#require("start");
    const { flavour, connectGuest } = this.#options;
    const onStarted = (): void => {
      this.#started = true;
    };
    const drain = (idle: Promise<void>): Promise<void> =>
      this.#within(logDrainMs, (bound) => abortable(idle, bound)).catch(() => {});
    return launch(
      { system, flavour, connectGuest, log: this.#log, held: this.#held, drain, onPhase, onStarted },
      signal,
    );
  }

  /**
   * Changes memory, processors, CPU group or policy of a running VM; absent fields stay as they are. InvalidArgument
   * names the field. After a failure the changes made so far stay, and the update can be repeated.
   */
  update(update: VmUpdate, signal?: AbortSignal): Promise<void> {
    return this.#running.update(update, signal);
  }

  /**
   * Changes a running VM into that of another document; `fitDocument` of sandbox-common says whether that is possible.
   * After a failure only some of the changes may have been made: terminate it.
   */
  refit(refit: Refit, signal?: AbortSignal): Promise<void> {
    return this.#running.refit(refit, signal);
  }

  /** Statistics of a running VM, as the host measures them. */
  statistics(signal?: AbortSignal): Promise<VmStatistics> {
    return this.#running.statistics(signal);
  }

  /**
   * Runs a program in the guest itself, outside of all containers. The caller must close the process, which ends it.
   */
  execute(command: VmCommand, signal?: AbortSignal): Promise<VmProcess> {
    return this.#running.execute(command, signal);
  }

  /** Stacks of the guest's own programs; undefined where the guest cannot dump them. */
  dumpStacks(signal?: AbortSignal): Promise<string | undefined> {
    return this.#running.dumpStacks(signal);
  }

  /** The host's properties of a running VM, as it writes them. */
  properties(signal?: AbortSignal): Promise<object> {
    return this.#running.properties(signal);
  }

  describe(): VmView {
    const { exit, isLost, state } = this;
    const { id } = this.#options;
    const machine = this.#machine;
    return {
      ...{ id, state: state.kind, isLost, held: this.#held.names },
      ...(machine && { runtimeId: machine.system.runtimeId, memoryInMb: machine.memoryInMb }),
      ...(this.#startedAt && { startedAt: this.#startedAt }),
      ...(exit && { exit }),
    };
  }

  /** Resolves when the VM has ended, for whatever reason, also before it was started or created. */
  wait(signal?: AbortSignal): Promise<VmExit> {
    return abortable(this.#exits.recorded, signal);
  }

  /**
   * Ends the VM in any state and releases all that it holds: the bridge first, the compute system last. The signal ends
   * the caller's wait, not the work. After a failure the state is Invalid, the rest is still held, and the call can be
   * repeated; after success it has no effect.
   */
  terminate(signal?: AbortSignal): Promise<void> {
    this.#interruptions.interrupt(this.#error("Cancelled", "terminate VM", "the VM is being terminated"));
    this.#termination ??= this.#queue
      .run(() =>
        observe({ kind: "phase", name: "terminate VM", attributes: { id: this.#options.id } }, () => this.#end()),
      )
      .finally(() => {
        this.#termination = undefined;
      });
    return abortable(this.#termination, signal);
  }

  async #end(): Promise<void> {
    const { exitTimeoutMs = 10_000 } = this.#options;
    const within = <T>(step: (bound: AbortSignal) => Promise<T>): Promise<T> => this.#within(exitTimeoutMs, step);
    if (this.state.kind === "Terminated") {
      // The VM had ended by itself; this releases what could not be released then.
      await within((bound) => this.#held.releaseAll(bound));
      return;
    }
    this.#ending = true;
    try {
      if (this.#machine !== undefined) {
        const parts = { machine: this.#machine, held: this.#held, exits: this.#exits };
        await endMachine({ ...parts, isStarted: () => this.#started, within });
      }
      const exit = this.#exits.withoutReport(this.state, this.#machine !== undefined);
      this.#life.succeed("terminate", { kind: "Terminated", exit });
    } catch (error) {
      const cause = wrapError(error, "terminate VM", this.#options.id);
      this.#life.fail("terminate", { kind: "Invalid", cause });
      throw cause;
    } finally {
      this.#ending = false;
    }
  }

  async #watchExit(system: VmComputeSystem): Promise<void> {
    const exit = await this.#exits.watch(system, () => this.#ending);
    if (exit === undefined) return;
    reportExit(exit, { isExpected: this.#ending });
    if (this.#ending) return;
    // A start under way fails with this error; otherwise the VM has ended by itself.
    if (this.#starting) {
      this.#interruptions.interrupt(this.#error("Unavailable", "start VM", `the VM exited: ${exit.reason}`));
    } else if (this.#life.happen("exited", { kind: "Terminated", exit })) {
      // What cannot be released now stays held; a later terminate retries it and reports why it fails.
      void this.terminate().catch(() => {});
    }
  }

  async #onBridgeLost(cause: Error | undefined): Promise<void> {
    this.#isLost = true;
    if (this.state.kind !== "Running" || this.#ending) return;
    // A VM that ends breaks its bridge too, and its exit says more than the loss of the bridge.
    await this.#exits.isRecordedWithin(exitAfterLossMs);
    if (this.state.kind !== "Running" || this.#ending) return;
    this.#exits.blame(`the connection to the guest was lost: ${cause?.message ?? "closed by the guest"}`);
    // After a failure the state is Invalid with its cause, and terminate can be repeated.
    await this.terminate().catch(() => {});
  }

  /** Queues the work; terminate interrupts it. */
  #inTurn<T>(operation: string, signal: AbortSignal | undefined, work: (abort: AbortSignal) => Promise<T>): Promise<T> {
    return this.#interruptions.run(operation, signal, (abort) => this.#queue.run(() => work(abort), abort));
  }

  #within<T>(milliseconds: number, work: (bound: AbortSignal) => Promise<T>): Promise<T> {
    return withDeadline(work, { clock: this.#options.clock, milliseconds });
  }

  #wiring(): DeviceWiring<Guest> {
    const host = hostDevices(this.#modify, () => this.#exits.isRecordedWithin(exitAfterLossMs));
    return { id: this.#options.id, host, guest: () => this.guest };
  }

  readonly #modify = async (request: ModifySettingRequest, signal: AbortSignal | undefined): Promise<void> => {
    if (this.state.kind !== "Running") throw this.#notRunning(`${request.RequestType} ${request.ResourcePath} of`);
    await this.#require("devices").system.modify(request, signal);
  };

  #require(what: string): Machine<DeviceControllers<Guest, Scsi, Plan9, Vpci, Vsmb>> {
    if (this.#machine !== undefined) return this.#machine;
    throw this.#error(
      "FailedPrecondition",
      `use ${what} of`,
      `the VM is ${this.state.kind}, expected Created or later`,
    );
  }

  #notRunning(operation: string): ControllerError {
    const ended = this.exit === undefined ? "" : `; it ended: ${this.exit.reason}`;
    return new ControllerError("FailedPrecondition", `the VM is ${this.state.kind}, expected Running${ended}`, {
      operation,
      id: this.#options.id,
      gone: this.exit !== undefined,
    });
  }

  #error(code: ErrorCode, operation: string, message: string): ControllerError {
    return new ControllerError(code, message, { operation, id: this.#options.id });
  }
}
