import type { Duplex } from "node:stream";
import { GcsError, givenUpError, infiniteTimeout, uvmContainerId } from "@uvm-shim/gcs-bridge";
import type { LinuxProcessParameters } from "@uvm-shim/hcs-schema";
import { processIds } from "./properties.ts";
import type { GuestRequests } from "./requests.ts";
import { ProcessStdio, type StdioStreams } from "./stdio.ts";
import type { LinuxGuestOptions } from "./types.ts";

/** What processes need of their guest. */
export interface ProcessSurroundings {
  readonly requests: GuestRequests;
  readonly options: LinuxGuestOptions;
  readonly takePort: () => number;
}

/** The container that a process belongs to, or the VM. */
export interface ProcessOwner {
  readonly id: string;
  /** Ends a process that was abandoned during its start. */
  kill(pid: number): Promise<void>;
  /** Runs before the exit is reported; without a status if process or bridge was lost. Must not reject. */
  exiting(status: number | undefined): Promise<void>;
}

export const sigkill = 9;
const defaultStdioTimeoutMs = 10_000;
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

  private constructor(
    requests: GuestRequests,
    containerId: string,
    pid: number,
    exit: Promise<number>,
    stdio: ProcessStdio,
    streams: StdioStreams,
  ) {
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
    const { requests, options, takePort } = surroundings;
    const { id: containerId } = owner;
    const subject = { procedure: "executeProcess", containerId };
    if (signal?.aborted) throw givenUpError(signal.reason, subject);
    const stdio = await ProcessStdio.listen(parameters, takePort, (port) => options.listen(port));
    try {
      const body = {
        Settings: { ProcessParameters: JSON.stringify(parameters), VsockStdioRelaySettings: stdio.settings },
      };
      const { ProcessId: pid } = await requests.make("executeProcess", containerId, body, signal, ({ ProcessId }) => {
        // The reference's guest keeps a process until its exit is queried.
        const exit = waitForExit(requests, containerId, ProcessId);
        return discard(surroundings, owner, ProcessId, exit);
      });
      const exit = afterOwner(waitForExit(requests, containerId, pid), owner);
      try {
        const streams = await connectStdio(stdio, exit, options, subject, signal);
        return new LinuxProcess(requests, containerId, pid, exit, stdio, streams);
      } catch (error) {
        // Not awaited: a guest that does not answer must not hold up a caller that has left.
        void discard(surroundings, owner, pid, exit);
        throw containerId === uvmContainerId ? leftBehindError(error, pid) : error;
      }
    } catch (error) {
      await stdio.close();
      throw error;
    }
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

/** The error of an execution that failed when its process was already running. */
function leftBehindError(error: unknown, pid: number): unknown {
  if (!(error instanceof GcsError) || error.gone) return error;
  const message = `process ${pid} of the VM may still run: it cannot be killed, and its stdio was closed`;
  return new GcsError(error.code, `${message}: ${error.message}`, {
    procedure: "executeProcess",
    containerId: uvmContainerId,
    cause: error,
  });
}

/** Called at once, so that the exit of a short process is not missed. */
function waitForExit(requests: GuestRequests, containerId: string, pid: number): Promise<number> {
  const exit = requests
    .request("waitForProcess", containerId, { ProcessId: pid, TimeoutInMs: infiniteTimeout })
    .then(({ ExitCode }) => exitStatus(ExitCode));
  // The exit may be lost before anybody awaits it.
  exit.catch(() => {});
  return exit;
}

/** Holds an exit back until its owner has handled it. */
function afterOwner(exit: Promise<number>, owner: ProcessOwner): Promise<number> {
  const ready = exit.then(
    async (status) => {
      await owner.exiting(status);
      return status;
    },
    async (error) => {
      await owner.exiting(undefined);
      throw error;
    },
  );
  ready.catch(() => {});
  return ready;
}

/** Exit codes of Linux processes are bytes; the guest's field is wider, with -1 for an unknown exit. */
function exitStatus(exitCode: number): number {
  return Math.min(exitCode, 255);
}

/** Ends a process that was abandoned and whose stdio is closed. */
async function discard(
  { options }: ProcessSurroundings,
  { id: containerId, kill }: ProcessOwner,
  pid: number,
  exit: Promise<number>,
): Promise<void> {
  try {
    await kill(pid);
  } catch (error) {
    if (error instanceof GcsError && error.gone) return;
    options.log.log("warn", "cannot kill an abandoned process", { containerId, pid, error });
    const logExit = (status: number): void =>
      options.log.log("debug", "an abandoned process has exited", { containerId, pid, status });
    void exit.then(logExit, () => {});
  }
}

/** Waits for a limited time until the guest has dialled every stream. */
async function connectStdio(
  stdio: ProcessStdio,
  exit: Promise<number>,
  options: LinuxGuestOptions,
  subject: { readonly procedure: string; readonly containerId: string },
  signal: AbortSignal | undefined,
): Promise<StdioStreams> {
  const timeoutMs = options.stdioTimeoutMs ?? defaultStdioTimeoutMs;
  const done = new AbortController();
  try {
    return await new Promise((resolve, reject) => {
      stdio.connected.then(resolve, (cause) => {
        reject(
          new GcsError("Unavailable", `cannot accept stdio: ${stdio.missing.join(", ")}`, {
            ...subject,
            cause,
          }),
        );
      });
      // An exit does not cancel this: the output of a short process is yet to be read.
      exit.catch(reject);
      options.delay(timeoutMs, done.signal).then(
        () => {
          const missing = stdio.missing.join(", ");
          reject(new GcsError("DeadlineExceeded", `the guest did not dial ${missing} within ${timeoutMs} ms`, subject));
        },
        () => {},
      );
      if (signal?.aborted) reject(givenUpError(signal.reason, subject));
      signal?.addEventListener("abort", () => reject(givenUpError(signal.reason, subject)), { signal: done.signal });
    });
  } finally {
    done.abort();
  }
}
