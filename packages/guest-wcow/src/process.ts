import type { Duplex } from "node:stream";
import {
  GcsError,
  type GuestRequests,
  type ProcessOwner,
  type ProcessStdio,
  type ProcessSurroundings,
  type StartedProcess,
  startProcess,
} from "@uvm-shim/gcs-bridge";
import type { SentWindowsProcessParameters, WindowsProcessParameters, WindowsSignal } from "@uvm-shim/hcs-schema";
import { processList } from "./properties.ts";
import { windowsSignalling } from "./signals.ts";

/** What Windows processes need of their guest. */
export interface WindowsSurroundings extends ProcessSurroundings {
  /** Whether the guest can send console events. */
  readonly hasEvents: boolean;
}

/** A process in a container of a Windows guest, or of the VM itself. */
export class WindowsProcess {
  readonly pid: number;
  readonly stdin?: Duplex;
  readonly stdout?: Duplex;
  readonly stderr?: Duplex;
  readonly #surroundings: WindowsSurroundings;
  readonly #requests: GuestRequests;
  readonly #containerId: string;
  readonly #stdio: ProcessStdio;
  readonly #exit: Promise<number>;

  private constructor(
    surroundings: WindowsSurroundings,
    containerId: string,
    { pid, exit, stdio, streams }: StartedProcess,
  ) {
    this.#surroundings = surroundings;
    this.#requests = surroundings.requests;
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
   * connections are closed, and a process that the guest has started, or yet starts, is ended.
   */
  static async execute(
    surroundings: WindowsSurroundings,
    owner: ProcessOwner,
    parameters: WindowsProcessParameters,
    signal?: AbortSignal,
  ): Promise<WindowsProcess> {
    checkCommandLine(parameters, owner.id);
    const request = {
      pipes: parameters,
      settings: ({ services }: ProcessStdio) => ({
        ProcessParameters: JSON.stringify(sentParameters(parameters)),
        StdioRelaySettings: services,
      }),
      statusOf: (exitCode: number) => exitCode,
    };
    return new WindowsProcess(surroundings, owner.id, await startProcess(surroundings, owner, request, signal));
  }

  /** An exit code of Windows, of 32 bits. Rejects with a GcsError with `gone` if the bridge or the process is lost. */
  wait(): Promise<number> {
    return this.#exit;
  }

  /** Whether the guest still lists it; the exit of an unlisted process may be reported late, or not at all. */
  async exists(abort?: AbortSignal): Promise<boolean> {
    const processes = await processList(this.#requests, this.#containerId, abort);
    return processes.some(({ ProcessId }) => ProcessId === this.pid);
  }

  /**
   * By number or name. Resolves for a console event as soon as it is sent, since some guests answer only when the process
   * has ended; a refusal is logged. Resolves for a termination when the guest has answered.
   */
  async signal(given: number | string, abort?: AbortSignal): Promise<void> {
    const signalling = windowsSignalling(given, this.#surroundings.hasEvents);
    abort?.throwIfAborted();
    switch (signalling.kind) {
      case "terminate":
        await terminateProcess(this.#requests, this.#containerId, this.pid, abort);
        break;
      case "event":
        this.#sendEvent(signalling.signal);
        break;
    }
  }

  /** In characters. */
  async resize(height: number, width: number, abort?: AbortSignal): Promise<void> {
    const body = { ProcessId: this.pid, Height: height, Width: width };
    await this.#requests.request("resizeConsole", this.#containerId, body, abort);
  }

  async close(): Promise<void> {
    await this.#stdio.close();
  }

  #sendEvent(Signal: WindowsSignal): void {
    const body = { ProcessId: this.pid, Options: { Signal } };
    this.#requests.request("signalProcess", this.#containerId, body).catch((error: unknown) => {
      if (error instanceof GcsError && (error.gone || error.code === "NotFound")) return;
      const fields = { containerId: this.#containerId, pid: this.pid, signal: Signal, error };
      this.#surroundings.options.log.log("warn", "the guest refused a signal", fields);
    });
  }
}

/** Throws NotFound if the process no longer exists. */
export async function terminateProcess(
  requests: GuestRequests,
  containerId: string,
  pid: number,
  abort?: AbortSignal,
): Promise<void> {
  await requests.request("signalProcess", containerId, { ProcessId: pid }, abort);
}

function checkCommandLine({ CommandLine }: WindowsProcessParameters, containerId: string): void {
  if (CommandLine !== "") return;
  const message = "CommandLine is empty: expected a program of the guest and its arguments";
  throw new GcsError("InvalidArgument", message, { procedure: "executeProcess", containerId });
}

/** Without what is false or empty, as the reference's host sends them: variables without a value in particular. */
export function sentParameters(parameters: WindowsProcessParameters): SentWindowsProcessParameters {
  const { CommandLine, User, WorkingDirectory, Environment = {}, ConsoleSize } = parameters;
  const { EmulateConsole, CreateStdInPipe, CreateStdOutPipe, CreateStdErrPipe } = parameters;
  const variables = Object.entries(Environment).filter(([, value]) => value !== "");
  return {
    CommandLine,
    ...(User !== undefined && User !== "" && { User }),
    ...(WorkingDirectory !== undefined && WorkingDirectory !== "" && { WorkingDirectory }),
    ...(variables.length > 0 && { Environment: Object.fromEntries(variables) }),
    ...(EmulateConsole && { EmulateConsole }),
    ...(CreateStdInPipe && { CreateStdInPipe }),
    ...(CreateStdOutPipe && { CreateStdOutPipe }),
    ...(CreateStdErrPipe && { CreateStdErrPipe }),
    ...(ConsoleSize !== undefined && { ConsoleSize }),
  };
}
