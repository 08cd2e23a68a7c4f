import { GuestFault, infiniteTimeout } from "@uvm-shim/gcs-bridge";
import { abortable, systemClock, withDeadline } from "@uvm-shim/lifecycle";
import type { ProcessExit } from "@uvm-shim/linux-calls";
import type { StdioRelay } from "./stdio-relay.ts";

/** A process that the host has started. */
export class GuestProcess {
  readonly pid: number;
  /** Resolves with 0 to 255; 128 plus the signal's number for a killed process. */
  readonly exit: Promise<number>;
  /** As `exit`, but after its stdio has ended, which requires the host to close its outputs. */
  readonly reported: Promise<number>;
  /** Resolves when a wait has been answered. */
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

  /** As `reported`; throws a GuestFault after the timeout. */
  async reportedWithin(timeoutMs: number, signal: AbortSignal): Promise<number> {
    if (timeoutMs === infiniteTimeout) return await this.reported;
    return await withDeadline((until) => abortable(this.reported, until), {
      ...{ clock: systemClock, milliseconds: timeoutMs, signal },
      error: () => new GuestFault("HCS_E_CONNECTION_TIMEOUT", `process ${this.pid} did not end within ${timeoutMs} ms`),
    });
  }

  /** Must be called when a wait has been answered with the exit. */
  hasAnswered(): void {
    this.#onAnswered();
  }

  /** Throws a GuestFault if the process no longer exists. */
  signal(signal: number): void {
    if (this.#hasExited) throw noProcess(this.pid);
    sendSignal(this.pid, signal);
  }

  /** No error if the process has ended meanwhile. */
  resize(height: number, width: number): void {
    this.#relay.resize(height, width);
  }

  /** Outputs that the host has closed stay closed, so that the process can end. */
  stopKeepingOutputs(): void {
    this.#relay.stopKeepingOutputs();
  }
}

/** The processes of one container, or of the VM itself, by pid. */
export class ProcessTable {
  readonly #processes = new Map<number, GuestProcess>();

  /** Keeps a process until a wait has been answered, or for good. */
  add(process: GuestProcess, options: { readonly isKept?: boolean } = {}): void {
    // A reused pid belongs to the newer process.
    this.#processes.set(process.pid, process);
    if (options.isKept) return;
    void process.answered.then(() => {
      if (this.#processes.get(process.pid) === process) this.#processes.delete(process.pid);
    });
  }

  /** Throws a GuestFault if there is no such process. */
  get(pid: number): GuestProcess {
    const process = this.#processes.get(pid);
    if (process === undefined) throw noProcess(pid);
    return process;
  }
}

/** Throws a GuestFault if the process no longer exists. */
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
