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
  wrapError,
} from "@uvm-shim/lifecycle";
import { type DrainLimits, defaultDrainLimits } from "./drain.ts";
import { type ProcessOperation, type ProcessState, type ProcessStateKind, processTable } from "./lifecycle.ts";
import { defaultPresencePace, type PresencePace } from "./presence.ts";
import type { ClientPatience } from "./relay.ts";
import { checkedConsoleSize, checkedSignal, endsByDefault, killedStatus, lostStatus, sigkill } from "./status.ts";
import { closeClient, Supervision, type UnreportedExit } from "./supervision.ts";
import type { GuestProcess, OpenStdio, ProcessGuest, StdioPaths, UpstreamStdio } from "./types.ts";

export interface ProcessControllerOptions {
  readonly containerId: string;
  /** Empty for the container's init process. */
  readonly execId: string;
  readonly guest: ProcessGuest;
  readonly upstream: UpstreamStdio;
  readonly clock: Clock;
  readonly drainLimits?: DrainLimits;
  readonly presencePace?: PresencePace;
  /** Called when the process counts as ended although the guest has not reported its exit code. */
  readonly onUnreportedExit?: (why: UnreportedExit) => void;
  /** How long to wait for a client that reads none of the output; without limit when absent. */
  readonly clientPatience?: Omit<ClientPatience, "clock"> | undefined;
}

export interface CreateProcess {
  readonly stdio: StdioPaths;
  /** Absent for the init process, which the container's specification describes. */
  readonly process?: OciProcess;
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
export class ProcessController {
  readonly execId: string;
  readonly #id: string;
  readonly #guest: ProcessGuest;
  readonly #upstream: UpstreamStdio;
  readonly #clock: Clock;
  readonly #drainLimits: DrainLimits;
  readonly #presencePace: PresencePace;
  readonly #onUnreportedExit: (why: UnreportedExit) => void;
  readonly #clientPatience: ClientPatience | undefined;
  readonly #life: Lifecycle<ProcessState, ProcessStateKind, ProcessOperation>;
  readonly #operations = new OperationQueue();
  readonly #resizes = new OperationQueue();
  readonly #exited = Promise.withResolvers<Exit>();
  readonly #stdinClosing = Promise.withResolvers<void>();
  /** Resolves when the guest no longer knows the process, or the VM has exited, without an exit code. */
  readonly #lost = Promise.withResolvers<void>();
  readonly #ending = new AbortController();
  #starting: Promise<unknown> | undefined;
  #killedWhileStarting = false;
  #stdio = noStdio;
  #process: OciProcess | undefined;
  #pid = 0;
  #consoleSize: { width: number; height: number } | undefined;

  constructor(options: ProcessControllerOptions) {
    this.execId = options.execId;
    this.#id = options.execId === "" ? options.containerId : `${options.containerId}/${options.execId}`;
    this.#guest = options.guest;
    this.#upstream = options.upstream;
    this.#clock = options.clock;
    this.#drainLimits = options.drainLimits ?? defaultDrainLimits;
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
  create(request: CreateProcess, signal?: AbortSignal): Promise<void> {
    return this.#operations.run(async () => {
      this.#life.require("create");
      const opening = this.#upstream.open(request.stdio, this.#until(signal));
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
      const starting = this.#startIn(state.upstream, this.#until(signal));
      this.#starting = starting.catch(() => {});
      return await starting;
    }, signal);
  }

  async #startIn(upstream: OpenStdio, signal: AbortSignal): Promise<number> {
    const sizeAtStart = this.#consoleSize;
    let guest: GuestProcess;
    try {
      guest = await acquireOrRelease(this.#guest.execute(this.#parameters(upstream), signal), signal, async (late) => {
        await late.signal(sigkill);
        await late.close();
      });
    } catch (error) {
      await closeClient(upstream, this.#clock, this.#drainLimits);
      const status = this.#killedWhileStarting ? killedStatus(sigkill) : lostStatus;
      this.#terminate("start", { status, exitedAt: this.#clock.now() });
      throw wrapError(error, "start process", this.#id);
    }
    this.#pid = guest.pid;
    const supervision = this.#supervise(upstream, guest);
    this.#life.succeed("start", { kind: "Running", upstream, guest, supervision });
    void supervision.exit().then((exit) => this.#terminate("exited", exit));
    // The guest creates the terminal of an init process without a size. A size that cannot be applied does not fail the
    // start: the process runs.
    const isSizeKnownToGuest = this.#process !== undefined && this.#consoleSize === sizeAtStart;
    if (this.#stdio.terminal && !isSizeKnownToGuest) this.#applyConsoleSize(guest).catch(() => {});
    return guest.pid;
  }

  /**
   * Sends a signal, 1 to 64, without waiting for other operations. Before the start, a signal whose default action ends
   * a process ends this one; any other has no effect. NotFound when the process has exited.
   */
  async kill(signalNumber: number, signal?: AbortSignal): Promise<void> {
    checkedSignal(signalNumber, this.#id);
    const state = this.#life.state;
    switch (state.kind) {
      case "NotCreated":
        throw this.#error("FailedPrecondition", "kill process", "the process has not been created");
      case "Created":
        return await this.#killCreated(signalNumber, signal);
      case "Running":
        return await this.#killRunning(state, signalNumber, signal);
      case "Terminated":
        throw this.#error("NotFound", "kill process", "process already finished");
    }
  }

  async #killCreated(signalNumber: number, signal?: AbortSignal): Promise<void> {
    if (this.#starting === undefined) {
      if (endsByDefault(signalNumber)) await this.abandon(killedStatus(signalNumber));
      return;
    }
    if (signalNumber !== sigkill) {
      await abortable(this.#starting, signal);
      return await this.kill(signalNumber, signal);
    }
    this.#killedWhileStarting = true;
    this.#ending.abort(this.#error("Cancelled", "start process", "the process was killed while it was starting"));
    await abortable(this.#starting, signal);
  }

  async #killRunning(
    { guest, supervision }: ProcessState & { readonly kind: "Running" },
    signalNumber: number,
    signal?: AbortSignal,
  ): Promise<void> {
    try {
      await abortable(guest.signal(signalNumber, signal), signal);
      supervision.signalled(signalNumber);
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

  #applyConsoleSize(guest: GuestProcess, signal?: AbortSignal): Promise<void> {
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

  #supervise(upstream: OpenStdio, guest: GuestProcess): Supervision {
    return new Supervision({
      upstream,
      guest,
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
    this.#exited.resolve(exit);
  }

  /** Only the parameters of an exec carry a terminal size: guests ignore it in those of an init process. */
  #parameters(upstream: OpenStdio): LinuxProcessParameters {
    const consoleSize = this.#consoleSize;
    const process = this.#process;
    const hasSize = this.#stdio.terminal && consoleSize !== undefined;
    return {
      ...(process === undefined ? {} : { OCIProcess: hasSize ? { ...process, consoleSize } : process }),
      EmulateConsole: this.#stdio.terminal,
      CreateStdInPipe: upstream.stdin !== undefined,
      CreateStdOutPipe: upstream.stdout !== undefined,
      CreateStdErrPipe: upstream.stderr !== undefined,
    };
  }

  #until(signal: AbortSignal | undefined): AbortSignal {
    return signal === undefined ? this.#ending.signal : AbortSignal.any([signal, this.#ending.signal]);
  }

  #error(code: ControllerError["code"], operation: string, message: string, cause?: unknown): ControllerError {
    return new ControllerError(code, message, { operation, id: this.#id, cause });
  }
}
