import { GuestFault, infiniteTimeout } from "@uvm-shim/gcs-bridge";
import { abortable, systemClock, withDeadline } from "@uvm-shim/lifecycle";
import type { ProcessExit } from "@uvm-shim/linux-calls";
import type { StdioRelay } from "./stdio-relay.ts";

/** A process that the host has started. */
export class GuestProcess {
  readonly pid: number;
  /** Resolves with 0 to 255; 128 and the signal's number for a killed process. */
  readonly exit: Promise<number>;
  /** As `exit`, once its stdio has ended, for which the host closes its outputs. */
  readonly reported: Promise<number>;
  /** Resolves when somebody who waited has been answered. */
  readonly answered: Promise<void>;
  readonly #relay: StdioRelay;
  readonly #onAnswered: () => void;
  #hasExited = false;

  constructor(pid: number, exit: Promise<ProcessExit>, relay: StdioRelay) {
    this.pid = pid;
    this.#relay = relay;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.answered = promise;
    this.#onAnswered = resolve;
    this.exit = exit.then(({ exitCode }) => {
      this.#hasExited = true;
      return exitCode;
    });
    this.reported = this.exit.then(async (exitCode) => {
      await relay.finish();
      return exitCode;
    });
  }

  /** As `reported`, for somebody who does not wait longer; throws a GuestFault then. */
  async reportedWithin(timeoutMs: number, signal: AbortSignal): Promise<number> {
    if (timeoutMs === infiniteTimeout) return await this.reported;
    return await withDeadline((until) => abortable(this.reported, until), {
      ...{ clock: systemClock, milliseconds: timeoutMs, signal },
      error: () =>
        new GuestFault("HCS_E_CONNECTION_TIMEOUT", `process ${this.pid} has not ended within ${timeoutMs} ms`),
    });
  }

  /** To be called when a wait has been answered with the exit. */
  hasAnswered(): void {
    this.#onAnswered();
  }

  /** Throws a GuestFault when the process no longer exists. */
  signal(signal: number): void {
    if (this.#hasExited) throw noProcess(this.pid);
    sendSignal(this.pid, signal);
  }

  /** A process that has ended has no terminal to be resized, which is nobody's fault. */
  resize(height: number, width: number): void {
    this.#relay.resize(height, width);
  }

  /** What the host has closed of its output stays closed, for a process that is to end. */
  stopKeepingOutputs(): void {
    this.#relay.stopKeepingOutputs();
  }
}

/** The processes of one container, or of the VM itself, by pid. */
export class ProcessTable {
  readonly #processes = new Map<number, GuestProcess>();

  /** Keeps a process until its exit has been told to somebody, or for good. */
  add(process: GuestProcess, options: { readonly isKept?: boolean } = {}): void {
    // A pid that is used again is that of the younger process.
    this.#processes.set(process.pid, process);
    if (options.isKept) return;
    void process.answered.then(() => {
      if (this.#processes.get(process.pid) === process) this.#processes.delete(process.pid);
    });
  }

  /** Throws a GuestFault when there is no such process. */
  get(pid: number): GuestProcess {
    const process = this.#processes.get(pid);
    if (process === undefined) throw noProcess(pid);
    return process;
  }
}

/** Throws a GuestFault when the process no longer exists. */
export function sendSignal(pid: number, signal: number): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ESRCH") throw noProcess(pid);
    throw error;
  }
}

function noProcess(pid: number): GuestFault {
  return new GuestFault("ERROR_NOT_FOUND", `ProcessId: process ${pid} does not exist`);
}
