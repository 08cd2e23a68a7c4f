import type { Duplex } from "node:stream";
import {
  GcsError,
  type GuestRequests,
  type ProcessOwner,
  type ProcessStdio,
  type ProcessSurroundings,
  type StartedProcess,
  startProcess,
  uvmContainerId,
} from "@uvm-shim/gcs-bridge";
import type { LinuxProcessParameters } from "@uvm-shim/hcs-schema";
import { processIds } from "./properties.ts";

/** The number of the only signal for which the protocol has a message to a whole container. */
export const sigkill = 9;
const greatestSignal = 64;

/** A process in a container of a Linux guest. */
export class LinuxProcess {
  readonly pid: number;
  readonly stdin?: Duplex;
  readonly stdout?: Duplex;
  readonly stderr?: Duplex;
  readonly #requests: GuestRequests;
  readonly #containerId: string;
  readonly #stdio: ProcessStdio;
  readonly #exit: Promise<number>;

  private constructor(requests: GuestRequests, containerId: string, { pid, exit, stdio, streams }: StartedProcess) {
    this.#requests = requests;
    this.#containerId = containerId;
    this.pid = pid;
    this.#exit = exit;
    this.#stdio = stdio;
    if (streams.stdin !== undefined) this.stdin = streams.stdin;
    if (streams.stdout !== undefined) this.stdout = streams.stdout;
    if (streams.stderr !== undefined) this.stderr = streams.stderr;
  }

  /**
   * Starts a process and connects its stdio. If that fails or the signal aborts, nothing is left: listeners and
   * connections are closed, and a process that the guest has started, or yet starts, is killed.
   */
  static async execute(
    surroundings: ProcessSurroundings,
    owner: ProcessOwner,
    parameters: LinuxProcessParameters,
    signal?: AbortSignal,
  ): Promise<LinuxProcess> {
    const request = {
      pipes: parameters,
      settings: ({ ports }: ProcessStdio) => ({
        ProcessParameters: JSON.stringify(parameters),
        VsockStdioRelaySettings: ports,
      }),
      statusOf: exitStatus,
    };
    const { requests } = surroundings;
    return new LinuxProcess(requests, owner.id, await startProcess(surroundings, owner, request, signal));
  }

  /**
   * 0 to 255; a process of the VM itself that was killed by a signal has 255. Rejects with a GcsError with `gone` if the
   * bridge or the process is lost.
   */
  wait(): Promise<number> {
    return this.#exit;
  }

  /** Whether the guest still lists it; the exit of an unlisted process may be reported late, or not at all. */
  async exists(abort?: AbortSignal): Promise<boolean> {
    return (await processIds(this.#requests, this.#containerId, abort)).includes(this.pid);
  }

  /** Unimplemented for processes of the VM itself, which guests cannot signal: they end when their stdio is closed. */
  async signal(signal: number, abort?: AbortSignal): Promise<void> {
    await signalProcess(this.#requests, this.#containerId, this.pid, signal, abort);
  }

  /** In characters. Unimplemented for processes of the VM itself. */
  async resize(height: number, width: number, abort?: AbortSignal): Promise<void> {
    const body = { ProcessId: this.pid, Height: height, Width: width };
    const resizing = this.#requests.request("resizeConsole", this.#containerId, body, abort);
    await unlessOfVm(resizing, this.#containerId, this.pid, "resize");
  }

  async close(): Promise<void> {
    await this.#stdio.close();
  }
}

/** Throws NotFound if the process no longer exists. */
export async function signalProcess(
  requests: GuestRequests,
  containerId: string,
  pid: number,
  signal: number,
  abort?: AbortSignal,
): Promise<void> {
  // 0 in particular must be refused: the guest reads it as SIGKILL.
  if (!Number.isInteger(signal) || signal < 1 || signal > greatestSignal) {
    throw new GcsError("InvalidArgument", `invalid signal ${signal}: expected 1 to ${greatestSignal}`, {
      procedure: "signalProcess",
      containerId,
    });
  }
  const body = { ProcessId: pid, Options: { Signal: signal } };
  await unlessOfVm(requests.request("signalProcess", containerId, body, abort), containerId, pid, "signal");
}

/**
 * The reference's guest looks up the container of a process to be signalled or resized, and has none for the VM itself.
 * In that case "not found" says nothing about the process.
 */
async function unlessOfVm(
  answer: Promise<unknown>,
  containerId: string,
  pid: number,
  verb: "signal" | "resize",
): Promise<void> {
  try {
    await answer;
  } catch (error) {
    if (
      containerId !== uvmContainerId ||
      !(error instanceof GcsError) ||
      error.hresultName !== "HCS_E_SYSTEM_NOT_FOUND"
    ) {
      throw error;
    }
    const { procedure, hresult = 0, hresultName, guestMessage = "", records } = error;
    throw new GcsError(
      "Unimplemented",
      `cannot ${verb} process ${pid}: the guest does not support that for processes of the VM`,
      {
        ...(procedure === undefined ? {} : { procedure }),
        ...{ containerId, hresult, hresultName, guestMessage, records, cause: error },
      },
    );
  }
}

/** The error of an execution in the VM that failed when its process was already running. */
export function leftBehindError(error: unknown, pid: number): unknown {
  if (!(error instanceof GcsError) || error.gone) return error;
  const message = `process ${pid} of the VM may still run: it cannot be killed, and its stdio was closed`;
  return new GcsError(error.code, `${message}: ${error.message}`, {
    procedure: "executeProcess",
    containerId: uvmContainerId,
    cause: error,
  });
}

/** Exit codes of Linux processes are bytes; the guest's field is wider, with -1 for an unknown exit. */
function exitStatus(exitCode: number): number {
  return Math.min(exitCode, 255);
}
