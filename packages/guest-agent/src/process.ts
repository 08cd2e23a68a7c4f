import { GuestFault } from "@uvm-shim/gcs-bridge";
import type { ProcessExit } from "@uvm-shim/linux-calls";
import type { StdioRelay } from "./stdio-relay.ts";

/** A process that the host has started. */
export class GuestProcess {
  readonly pid: number;
  /** Resolves with 0 to 255; 128 and the signal's number for a killed process. */
  readonly exit: Promise<number>;
  /** As `exit`, once what the process wrote to its end is on its way to the host. */
  readonly reported: Promise<number>;
  readonly #relay: StdioRelay;
  #hasExited = false;

  constructor(pid: number, exit: Promise<ProcessExit>, relay: StdioRelay) {
    this.pid = pid;
    this.#relay = relay;
    this.exit = exit.then(({ exitCode }) => {
      this.#hasExited = true;
      return exitCode;
    });
    this.reported = this.exit.then(async (exitCode) => {
      await relay.handedOn();
      return exitCode;
    });
  }

  get hasExited(): boolean {
    return this.#hasExited;
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
}

/** Exits that are kept for a host that asks late; the host asks when the process has started. */
const keptExits = 256;

/** The processes of one container, or of the VM itself, by pid. What ended long ago is forgotten. */
export class ProcessTable {
  readonly #processes = new Map<number, GuestProcess>();

  add(process: GuestProcess): void {
    // A pid that is used again is that of the younger process.
    this.#processes.delete(process.pid);
    this.#processes.set(process.pid, process);
    const exited = [...this.#processes.values()].filter(({ hasExited }) => hasExited);
    for (const old of exited.slice(0, -keptExits)) this.#processes.delete(old.pid);
  }

  find(pid: number): GuestProcess | undefined {
    return this.#processes.get(pid);
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
