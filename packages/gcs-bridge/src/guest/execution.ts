import { GcsError, givenUpError } from "../error.ts";
import type { ExecuteProcessRequest } from "../procedure-bodies.ts";
import { infiniteTimeout } from "../procedures.ts";
import type { GuestRequests } from "./requests.ts";
import { type ProcessPipes, ProcessStdio, type StdioStreams } from "./stdio.ts";
import type { GuestOptions } from "./types.ts";

/** What processes need of their guest. */
export interface ProcessSurroundings {
  readonly requests: GuestRequests;
  readonly options: GuestOptions;
  readonly takePort: () => number;
}

/** The container that a process belongs to, or the VM. */
export interface ProcessOwner {
  readonly id: string;
  /** Ends a process that was abandoned during its start. */
  kill(pid: number): Promise<void>;
  /** Runs before the exit is reported; without a status if process or bridge was lost. Must not reject. */
  exiting(status: number | undefined): Promise<void>;
  /** What the caller is told when a running process had to be abandoned; the error itself if absent. */
  abandoned?(error: unknown, pid: number): unknown;
}

/** How a guest of one flavour is asked for a process. */
export interface ProcessRequest {
  readonly pipes: ProcessPipes;
  settings(stdio: ProcessStdio): ExecuteProcessRequest["Settings"];
  /** The status that an exit code of the guest stands for. */
  statusOf(exitCode: number): number;
}

/** A process that the guest has started, with its stdio connected. */
export interface StartedProcess {
  readonly pid: number;
  /** The status, once the owner has handled the exit. */
  readonly exit: Promise<number>;
  readonly stdio: ProcessStdio;
  readonly streams: StdioStreams;
}

const defaultStdioTimeoutMs = 10_000;

/**
 * Starts a process and connects its stdio. If that fails or the signal aborts, nothing is left: listeners and
 * connections are closed, and a process that the guest has started, or yet starts, is killed.
 */
export async function startProcess(
  surroundings: ProcessSurroundings,
  owner: ProcessOwner,
  request: ProcessRequest,
  signal?: AbortSignal,
): Promise<StartedProcess> {
  const { requests, options, takePort } = surroundings;
  const { id: containerId } = owner;
  const subject = { procedure: "executeProcess", containerId };
  if (signal?.aborted) throw givenUpError(signal.reason, subject);
  const { statusOf } = request;
  const stdio = await ProcessStdio.listen(request.pipes, takePort, (port) => options.listen(port));
  try {
    const body = { Settings: request.settings(stdio) };
    const { ProcessId: pid } = await requests.make("executeProcess", containerId, body, signal, ({ ProcessId }) => {
      // The reference's Linux guest keeps a process until its exit is queried.
      const exit = waitForExit(requests, containerId, ProcessId, statusOf);
      return discard(surroundings, owner, ProcessId, exit);
    });
    const exit = afterOwner(waitForExit(requests, containerId, pid, statusOf), owner);
    try {
      const streams = await connectStdio(stdio, exit, options, subject, signal);
      return { pid, exit, stdio, streams };
    } catch (error) {
      // Not awaited: a guest that does not answer must not hold up a caller that has left.
      void discard(surroundings, owner, pid, exit);
      throw owner.abandoned?.(error, pid) ?? error;
    }
  } catch (error) {
    await stdio.close();
    throw error;
  }
}

/** Called at once, so that the exit of a short process is not missed. */
function waitForExit(
  requests: GuestRequests,
  containerId: string,
  pid: number,
  statusOf: (exitCode: number) => number,
): Promise<number> {
  const exit = requests
    .request("waitForProcess", containerId, { ProcessId: pid, TimeoutInMs: infiniteTimeout })
    .then(({ ExitCode }) => statusOf(ExitCode));
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
  options: GuestOptions,
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
