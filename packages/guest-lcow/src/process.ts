import type { Duplex } from "node:stream";
import { Fields, type GcsBridgeClient, GcsError, givenUpError, infiniteTimeout } from "@uvm-shim/gcs-bridge";
import type { LinuxProcessParameters } from "@uvm-shim/hcs-schema";
import { awaitOrUndo } from "./await-or-undo.ts";
import { ProcessStdio, type StdioStreams } from "./stdio.ts";
import type { LinuxGuestOptions } from "./types.ts";

/** What processes need of the guest that they run in. */
export interface ProcessSurroundings {
  readonly bridge: GcsBridgeClient;
  readonly options: LinuxGuestOptions;
  readonly takePort: () => number;
}

/** Whose process it is. */
export interface ProcessOwner {
  /** Container, or the VM. */
  readonly id: string;
  /** Ends a process that nobody is going to own. */
  kill(pid: number): Promise<void>;
  /** Runs before the exit is told; without a status it is lost, with the process or the bridge. Must not reject. */
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
  readonly #bridge: GcsBridgeClient;
  readonly #containerId: string;
  readonly #stdio: ProcessStdio;
  readonly #exit: Promise<number>;

  private constructor(
    bridge: GcsBridgeClient,
    containerId: string,
    pid: number,
    exit: Promise<number>,
    stdio: ProcessStdio,
    streams: StdioStreams,
  ) {
    this.#bridge = bridge;
    this.#containerId = containerId;
    this.pid = pid;
    this.#exit = exit;
    this.#stdio = stdio;
    if (streams.stdin !== undefined) this.stdin = streams.stdin;
    if (streams.stdout !== undefined) this.stdout = streams.stdout;
    if (streams.stderr !== undefined) this.stderr = streams.stderr;
  }

  /**
   * Starts a process and connects its stdio. When that fails, or the signal aborts, nothing is left: listeners and
   * connections are closed, and a process that the guest has started, or still starts, is killed.
   */
  static async execute(
    surroundings: ProcessSurroundings,
    owner: ProcessOwner,
    parameters: LinuxProcessParameters,
    signal?: AbortSignal,
  ): Promise<LinuxProcess> {
    const { bridge, options, takePort } = surroundings;
    const { id: containerId } = owner;
    const subject = { procedure: "executeProcess", containerId };
    if (signal?.aborted) throw givenUpError(signal.reason, subject);
    const stdio = await ProcessStdio.listen(parameters, takePort, (port) => options.listen(port));
    try {
      const answer = bridge.request("executeProcess", containerId, {
        Settings: { ProcessParameters: JSON.stringify(parameters), VsockStdioRelaySettings: stdio.settings },
      });
      const { ProcessId: pid } = await awaitOrUndo(answer, signal, subject, ({ ProcessId }) => {
        // The reference's guest keeps a process until its exit has been asked for.
        void waitForExit(bridge, containerId, ProcessId);
        return discard(surroundings, owner, ProcessId);
      });
      const exit = told(waitForExit(bridge, containerId, pid), owner);
      try {
        const streams = await connectStdio(stdio, exit, options, subject, signal);
        return new LinuxProcess(bridge, containerId, pid, exit, stdio, streams);
      } catch (error) {
        // Not awaited: a guest that does not answer must not hold a caller who has left.
        void discard(surroundings, owner, pid);
        throw error;
      }
    } catch (error) {
      await stdio.close();
      throw error;
    }
  }

  /** 0 to 255. Rejects with a GcsError of `gone` when bridge or process is lost. */
  wait(): Promise<number> {
    return this.#exit;
  }

  /** Whether the guest still lists it: of one that it does not, the exit may be told late, or not at all. */
  async exists(abort?: AbortSignal): Promise<boolean> {
    return (await processIds(this.#bridge, this.#containerId, abort)).includes(this.pid);
  }

  async signal(signal: number, abort?: AbortSignal): Promise<void> {
    await signalProcess(this.#bridge, this.#containerId, this.pid, signal, abort);
  }

  /** In characters. */
  async resize(height: number, width: number, abort?: AbortSignal): Promise<void> {
    const body = { ProcessId: this.pid, Height: height, Width: width };
    await this.#bridge.request("resizeConsole", this.#containerId, body, abort);
  }

  async close(): Promise<void> {
    await this.#stdio.close();
  }
}

/** Throws NotFound when the process no longer exists. */
export async function signalProcess(
  bridge: GcsBridgeClient,
  containerId: string,
  pid: number,
  signal: number,
  abort?: AbortSignal,
): Promise<void> {
  // 0 in particular must not pass: the guest takes it for SIGKILL.
  if (!Number.isInteger(signal) || signal < 1 || signal > greatestSignal) {
    throw new GcsError("InvalidArgument", `signal ${signal}: expected 1 to ${greatestSignal}`, {
      procedure: "signalProcess",
      containerId,
    });
  }
  await bridge.request("signalProcess", containerId, { ProcessId: pid, Options: { Signal: signal } }, abort);
}

/** Pids of all that runs in a container. */
export function processIds(
  bridge: GcsBridgeClient,
  containerId: string,
  abort?: AbortSignal,
): Promise<readonly number[]> {
  const read = (properties: string): readonly number[] =>
    Fields.parse(properties, "Properties").list("ProcessList", (item, path) =>
      new Fields(item, path).integer("ProcessId", 1, 0x7fffffff),
    );
  return queryProperties(bridge, containerId, "ProcessList", read, abort);
}

export async function queryProperties<T>(
  bridge: GcsBridgeClient,
  containerId: string,
  type: string,
  read: (properties: string) => T,
  abort: AbortSignal | undefined,
): Promise<T> {
  const Query = JSON.stringify({ PropertyTypes: [type] });
  const { Properties } = await bridge.request("getProperties", containerId, { Query }, abort);
  try {
    return read(Properties);
  } catch (cause) {
    const message = `invalid answer of the guest: ${(cause as Error).message}`;
    throw new GcsError("Internal", message, { procedure: "getProperties", containerId, cause });
  }
}

/** Asks for the exit at once, so that a process that ends right away is not missed. */
function waitForExit(bridge: GcsBridgeClient, containerId: string, pid: number): Promise<number> {
  const exit = bridge
    .request("waitForProcess", containerId, { ProcessId: pid, TimeoutInMs: infiniteTimeout })
    .then(({ ExitCode }) => exitStatus(ExitCode));
  // The exit may be asked for later than it is lost, or never.
  exit.catch(() => {});
  return exit;
}

/** Holds an exit back until its owner is ready for it. */
function told(exit: Promise<number>, owner: ProcessOwner): Promise<number> {
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

/** Exit codes of Linux processes are bytes; the guest's word is wider, and -1 stands for an exit that it lost. */
function exitStatus(exitCode: number): number {
  return Math.min(exitCode, 255);
}

/** Ends a process that nobody is going to own. */
async function discard({ options }: ProcessSurroundings, { id, kill }: ProcessOwner, pid: number): Promise<void> {
  try {
    await kill(pid);
  } catch (error) {
    if (error instanceof GcsError && error.gone) return;
    options.log.log("warn", "a process that was given up could not be killed", { containerId: id, pid, error });
  }
}

/** Waits, for a bounded time, until the guest has dialled every stream. */
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
          new GcsError("Unavailable", `stdio could not be accepted (${stdio.missing.join(", ")})`, {
            ...subject,
            cause,
          }),
        );
      });
      // An exit is no reason to give up: what a short process wrote is still to be read.
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
