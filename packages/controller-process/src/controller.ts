import type { LinuxProcessParameters, OciProcess } from "@uvm-shim/hcs-schema";
import {
  abortable,
  acquireOrRelease,
  type Clock,
  ControllerError,
  codeOf,
  type Exit,
  Lifecycle,
  OperationQueue,
  observe,
  reportOccurrence,
  wrapError,
} from "@uvm-shim/lifecycle";
import type { DrainLimits } from "./drain.ts";
import { type ProcessOperation, type ProcessState, type ProcessStateKind, processTable } from "./lifecycle.ts";
import { defaultPresencePace, type PresencePace } from "./presence.ts";
import type { ClientPatience } from "./relay.ts";
import { checkedConsoleSize, lostStatus } from "./status.ts";
import { closeClient, Supervision, type UnreportedExit } from "./supervision.ts";
import type {
  GuestProcess,
  OpenStdio,
  ProcessFlavour,
  ProcessGuest,
  SignalEffect,
  StdioPaths,
  UpstreamStdio,
} from "./types.ts";

/** What a `ProcessController` is made from. */
export interface ProcessControllerOptions<
  Description = OciProcess,
  Parameters = LinuxProcessParameters,
  Signal = number,
> {
  readonly containerId: string;
  /** Empty for the container's init process. */
  readonly execId: string;
  readonly guest: ProcessGuest<Parameters, NoInfer<Signal>>;
  /** `linuxProcesses` or `windowsProcesses`. */
  readonly flavour: ProcessFlavour<Description, Parameters, Signal>;
  readonly upstream: UpstreamStdio;
  readonly clock: Clock;
  readonly drainLimits?: DrainLimits;
  readonly presencePace?: PresencePace;
  /** Called when the process counts as ended although the guest has not reported its exit code. */
  readonly onUnreportedExit?: (why: UnreportedExit) => void;
  /** How long to wait for a client that reads none of the output; without limit when absent. */
  readonly clientPatience?: Omit<ClientPatience, "clock"> | undefined;
}

/** Whose stdio a process has, and what it runs. */
export interface CreateProcess<Description = OciProcess> {
  readonly stdio: StdioPaths;
  /** Absent for the init process of a Linux container, which the container's specification describes. */
  readonly process?: Description;
}

const publicStates = {
  NotCreated: "created",
  Created: "created",
  Running: "running",
  Terminated: "stopped",
} as const satisfies { readonly [Name in ProcessStateKind]: string };

const noStdio: StdioPaths = { stdin: "", stdout: "", stderr: "", terminal: false };

/**
 * One process in a container: init or exec. Its exit is published exactly once, after the guest has reported the exit
 * code and the output has been drained to the client. Errors are ControllerErrors with the id `<container>/<exec>`.
 */
export class ProcessController<
  Description = OciProcess,
  Parameters = LinuxProcessParameters,
  Signal extends number | string = number,
> {
  readonly execId: string;
  readonly #id: string;
  readonly #guest: ProcessGuest<Parameters, Signal>;
  readonly #flavour: ProcessFlavour<Description, Parameters, Signal>;
  readonly #upstream: UpstreamStdio;
  readonly #clock: Clock;
  readonly #drainLimits: DrainLimits;
  readonly #presencePace: PresencePace;
  readonly #onUnreportedExit: (why: UnreportedExit) => void;
  readonly #clientPatience: ClientPatience | undefined;
  readonly #life: Lifecycle<ProcessState<Signal>, ProcessStateKind, ProcessOperation>;
  readonly #operations = new OperationQueue();
  readonly #resizes = new OperationQueue();
  readonly #exited = Promise.withResolvers<Exit>();
  readonly #stdinClosing = Promise.withResolvers<void>();
  /** Resolves when the guest no longer knows the process, or the VM has exited, without an exit code. */
  readonly #lost = Promise.withResolvers<void>();
  readonly #ending = new AbortController();
  #starting: Promise<unknown> | undefined;
  /** Exit status of a process that was killed while it was starting. */
  #statusOfStart = lostStatus;
  #stdio = noStdio;
  #process: Description | undefined;
  #pid = 0;
  #consoleSize: { width: number; height: number } | undefined;

  constructor(options: ProcessControllerOptions<Description, Parameters, Signal>) {
    this.execId = options.execId;
    this.#id = options.execId === "" ? options.containerId : `${options.containerId}/${options.execId}`;
    this.#guest = options.guest;
    this.#flavour = options.flavour;
    this.#upstream = options.upstream;
    this.#clock = options.clock;
    this.#drainLimits = options.drainLimits ?? options.flavour.drainLimits;
    this.#presencePace = options.presencePace ?? defaultPresencePace;
    this.#onUnreportedExit = options.onUnreportedExit ?? (() => {});
    const { clock, clientPatience } = options;
    this.#clientPatience = clientPatience && { ...clientPatience, clock };
    this.#life = new Lifecycle(processTable, this.#id, { kind: "NotCreated" });
  }

  /** Pid in the guest; 0 until it is known. */
  get pid(): number {
    return this.#pid;
  }

  /** Sets the pid that the process is going to have. No effect once it has started. */
  expectPid(pid: number): void {
    if (this.#life.state.kind === "Created") this.#pid = pid;
  }

  get stdio(): StdioPaths {
    return this.#stdio;
  }

  get exit(): Exit | undefined {
    const state = this.#life.state;
    return state.kind === "Terminated" ? state.exit : undefined;
  }

  /** "running" until the exit is published, so that it never contradicts `wait`. */
  get state(): "created" | "running" | "stopped" {
    return publicStates[this.#life.state.kind];
  }

  /** Whether the process has ended, even if its exit is not published yet because its output is still being drained. */
  get hasEnded(): boolean {
    const state = this.#life.state;
    return state.kind === "Terminated" || (state.kind === "Running" && state.supervision.hasEnded);
  }

  /** Opens the client's stdio. After a failure nothing is open, and it can be repeated. */
  create(request: CreateProcess<Description>, signal?: AbortSignal): Promise<void> {
    return this.#operations.run(async () => {
      this.#life.require("create");
      const opening = observe(this.#named("open the client's stdio"), () =>
        this.#upstream.open(request.stdio, this.#until(signal)),
      );
      const upstream = await acquireOrRelease(opening, this.#until(signal), (late) => late.close()).catch((error) => {
        throw wrapError(error, "open stdio of process", this.#id);
      });
      this.#stdio = request.stdio;
      this.#process = request.process;
      this.#life.succeed("create", { kind: "Created", upstream });
    }, signal);
  }

  /** Returns the pid in the guest. A failed start ends the process with status 255 and closes its stdio. */
  start(signal?: AbortSignal): Promise<number> {
    return this.#operations.run(async () => {
      this.#life.require("start");
      const state = this.#life.state;
      if (state.kind !== "Created")
        throw this.#error("Internal", "start process", `the process is ${state.kind}, expected Created`);
      const starting = observe(this.#named("start process"), () => this.#startIn(state.upstream, this.#until(signal)));
      this.#starting = starting.catch(() => {});
      return await starting;
    }, signal);
  }

  async #startIn(upstream: OpenStdio, signal: AbortSignal): Promise<number> {
    const sizeAtStart = this.#consoleSize;
    let guest: GuestProcess<Signal>;
    try {
      guest = await acquireOrRelease(this.#guest.execute(this.#parameters(upstream), signal), signal, async (late) => {
        await late.signal(this.#flavour.kill);
        await late.close();
      });
    } catch (error) {
      await closeClient(upstream, this.#clock, this.#drainLimits);
      this.#terminate("start", { status: this.#statusOfStart, exitedAt: this.#clock.now() });
      throw wrapError(error, "start process", this.#id);
    }
    this.#pid = guest.pid;
    const supervision = this.#supervise(upstream, guest);
    this.#life.succeed("start", { kind: "Running", upstream, guest, supervision });
    void supervision.exit().then((exit) => this.#terminate("exited", exit));
    // A Linux guest creates the terminal of an init process without a size. A size that cannot be applied does not fail the
    // start: the process runs.
    const isSizeKnownToGuest = this.#process !== undefined && this.#consoleSize === sizeAtStart;
    if (this.#stdio.terminal && !isSizeKnownToGuest) this.#applyConsoleSize(guest).catch(() => {});
    return guest.pid;
  }

  /**
   * Sends a signal of the guest's system, without waiting for other operations. Before the start, a signal whose default
   * action ends a process ends this one; any other has no effect. NotFound when the process has exited.
   */
  async kill(given: Signal, signal?: AbortSignal): Promise<void> {
    const effect = this.#flavour.effectOf(given, this.#id);
    const state = this.#life.state;
    switch (state.kind) {
      case "NotCreated":
        throw this.#error("FailedPrecondition", "kill process", "the process has not been created");
      case "Created":
        return await this.#killCreated(given, effect, signal);
      case "Running":
        return await this.#killRunning(state, given, effect, signal);
      case "Terminated":
        throw this.#error("NotFound", "kill process", "process already finished");
    }
  }

  async #killCreated(
    given: Signal,
    { isKill, statusBeforeStart }: SignalEffect,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    if (this.#starting === undefined) {
      if (statusBeforeStart !== undefined) await this.abandon(statusBeforeStart);
      return;
    }
    if (!isKill) {
      await abortable(this.#starting, signal);
      return await this.kill(given, signal);
    }
    this.#statusOfStart = statusBeforeStart ?? lostStatus;
    this.#ending.abort(this.#error("Cancelled", "start process", "the process was killed while it was starting"));
    await abortable(this.#starting, signal);
  }

  async #killRunning(
    { guest, supervision }: ProcessState<Signal> & { readonly kind: "Running" },
    given: Signal,
    effect: SignalEffect,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    try {
      await abortable(guest.signal(given, signal), signal);
      supervision.signalled(effect);
    } catch (error) {
      if (codeOf(error) !== "NotFound") throw wrapError(error, "kill process", this.#id);
      this.#lost.resolve();
      throw this.#error("NotFound", "kill process", "process already finished", error);
    }
  }

  /** Width and height in characters. Kept until the process runs; no effect once it has exited. */
  async resize(width: number, height: number, signal?: AbortSignal): Promise<void> {
    const size = checkedConsoleSize(width, height, this.#id);
    const state = this.#life.state;
    if (state.kind === "Terminated") return;
    if (state.kind !== "NotCreated" && !this.#stdio.terminal) {
      throw this.#error("FailedPrecondition", "resize process", "the process has no terminal");
    }
    this.#consoleSize = size;
    if (state.kind === "Running") await this.#applyConsoleSize(state.guest, signal);
  }

  #applyConsoleSize(guest: GuestProcess<Signal>, signal?: AbortSignal): Promise<void> {
    return this.#resizes.run(async () => {
      const size = this.#consoleSize;
      if (size === undefined || this.#life.state.kind !== "Running") return;
      try {
        await abortable(guest.resize(size.height, size.width, signal), signal);
      } catch (error) {
        if (codeOf(error) !== "NotFound") throw wrapError(error, "resize process", this.#id);
      }
    }, signal);
  }

  /**
   * Closes the guest's stdin once everything that the client wrote before has been copied. Can be repeated at any time.
   */
  async closeStdin(): Promise<void> {
    this.#stdinClosing.resolve();
  }

  /** Resolves when the process has exited and its output is drained. */
  wait(signal?: AbortSignal): Promise<Exit> {
    return abortable(this.#exited.promise, signal);
  }

  /** Ends a process that has not been started, with this status. No effect on any other. */
  async abandon(status: number): Promise<void> {
    const state = this.#life.state;
    if (state.kind !== "Created" || this.#starting !== undefined) return;
    this.#terminate("abandoned", { status, exitedAt: this.#clock.now() });
    await closeClient(state.upstream, this.#clock, this.#drainLimits);
  }

  /** Called when the VM has exited: the process gets an exit, and calls that wait for the guest fail. */
  vmExited(exit: { readonly reason: string }): void {
    this.#ending.abort(this.#error("Unavailable", "use process", `the VM has exited: ${exit.reason}`));
    this.#lost.resolve();
    void this.abandon(lostStatus);
  }

  #supervise(upstream: OpenStdio, guest: GuestProcess<Signal>): Supervision {
    return new Supervision({
      upstream,
      guest,
      flavour: this.#flavour,
      clock: this.#clock,
      limits: this.#drainLimits,
      pace: this.#presencePace,
      clientPatience: this.#clientPatience,
      isInit: this.execId === "",
      stdinClosing: this.#stdinClosing.promise,
      lost: this.#lost.promise,
      onUnreported: this.#onUnreportedExit,
    });
  }

  #terminate(name: "start" | "abandoned" | "exited", exit: Exit): void {
    const next = { kind: "Terminated", exit } as const;
    if (name === "start") this.#life.fail(name, next);
    else if (!this.#life.happen(name, next)) return;
    reportOccurrence("process exited", { id: this.#id, status: exit.status });
    this.#exited.resolve(exit);
  }

  #parameters(upstream: OpenStdio): Parameters {
    const { terminal } = this.#stdio;
    return this.#flavour.parameters({
      description: this.#process,
      consoleSize: terminal ? this.#consoleSize : undefined,
      pipes: {
        EmulateConsole: terminal,
        CreateStdInPipe: upstream.stdin !== undefined,
        CreateStdOutPipe: upstream.stdout !== undefined,
        CreateStdErrPipe: upstream.stderr !== undefined,
      },
    });
  }

  #named(name: string) {
    return { kind: "phase", name, attributes: { id: this.#id } } as const;
  }

  #until(signal: AbortSignal | undefined): AbortSignal {
    return signal === undefined ? this.#ending.signal : AbortSignal.any([signal, this.#ending.signal]);
  }

  #error(code: ControllerError["code"], operation: string, message: string, cause?: unknown): ControllerError {
    return new ControllerError(code, message, { operation, id: this.#id, cause });
  }
}
