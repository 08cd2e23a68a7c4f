import { closeSync, fstatSync, ftruncateSync, mkdirSync, openSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { type ChildProcess, startProgram } from "@uvm-shim/child-processes";
import { hostSocketOption } from "@uvm-shim/host-protocol";
import { delay, messageOf } from "@uvm-shim/lifecycle";
import { abortedError, HostError } from "../host-error.ts";
import { EmulatorConnection } from "./connection.ts";

/** The command that starts the emulated host. `--socket <path>` is appended to its arguments. */
export interface StartCommand {
  readonly command: string;
  readonly args?: readonly string[];
  readonly env?: { readonly [name: string]: string };
}

/** What a connection to an emulated host is made with. */
export interface ConnectOptions {
  readonly socketPath: string;
  /** If absent, no host is started: one that does not listen is Unavailable. */
  readonly start?: StartCommand | undefined;
  /** False for callers that only clean up: a host that does not listen is then NotFound and `gone`. Default true. */
  readonly startOnDemand?: boolean;
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds that a started host has to listen. Default 10 000. */
  readonly timeoutMs?: number;
}

const firstRetryMs = 5;
const longestRetryMs = 80;
/** A host that loses the race to start exits at once. This pause precedes the next attempt. */
const restartPauseMs = 250;
const largestLogBytes = 1024 * 1024;
const lastWordsBytes = 2000;

/** Connects to the emulated host. Starts it if it does not listen and the options allow it. */
export async function connectOrStart(options: ConnectOptions): Promise<EmulatorConnection> {
  const { socketPath, signal } = options;
  const subject = { operation: "connect to host", id: socketPath };
  const deadline = performance.now() + (options.timeoutMs ?? 10_000);
  let starting: StartedHost | undefined;
  for (let pause = firstRetryMs; ; pause = Math.min(pause * 2, longestRetryMs)) {
    throwIfAborted(signal, subject);
    try {
      return await EmulatorConnection.open(socketPath, signal);
    } catch (error) {
      throwIfAborted(signal, subject);
      if (!isAbsence(error)) {
        if (error instanceof HostError) throw error;
        throw new HostError("Unavailable", messageOf(error), { ...subject, cause: error });
      }
      if (options.startOnDemand === false) {
        throw new HostError("NotFound", "no host listens on this socket", { ...subject, gone: true, cause: error });
      }
      if (options.start === undefined) {
        throw new HostError("Unavailable", "no host listens on this socket, and none is started on demand", {
          ...subject,
          cause: error,
        });
      }
      if (performance.now() > deadline) {
        const words = starting?.lastWords() ?? "";
        throw new HostError("DeadlineExceeded", `the started host does not listen yet${words}`, {
          ...subject,
          cause: error,
        });
      }
      starting?.throwIfFailed(subject);
      if (starting === undefined || starting.mayBeFollowed)
        starting = await StartedHost.start(options.start, socketPath);
    }
    await delay(pause, signal).catch(() => {});
  }
}

function throwIfAborted(
  signal: AbortSignal | undefined,
  subject: { readonly operation: string; readonly id: string },
): void {
  if (signal?.aborted === true) throw abortedError(signal, "cancelled", subject);
}

/** A started host process, which outlives this process. */
class StartedHost {
  readonly #logPath: string;
  readonly #child: ChildProcess;
  readonly #startedAt = performance.now();

  private constructor(child: ChildProcess, logPath: string) {
    this.#child = child;
    this.#logPath = logPath;
    child.unref();
  }

  static async start({ command, args = [], env = {} }: StartCommand, socketPath: string): Promise<StartedHost> {
    const directory = dirname(socketPath);
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    const logPath = join(directory, "emulator.log");
    const log = openSync(logPath, "a", 0o600);
    try {
      if (fstatSync(log).size > largestLogBytes) ftruncateSync(log);
      const child = await startProgram(command, [...args, `--${hostSocketOption}`, socketPath], {
        cwd: "/",
        detached: true,
        env: { ...env },
        stdio: ["ignore", log, log],
      }).catch((cause: Error) => {
        const details = { operation: "connect to host", id: socketPath, cause };
        throw new HostError("Unavailable", `cannot start ${command}: ${cause.message}`, details);
      });
      return new StartedHost(child, logPath);
    } finally {
      closeSync(log);
    }
  }

  get mayBeFollowed(): boolean {
    return this.#child.exitCode === 0 && performance.now() - this.#startedAt > restartPauseMs;
  }

  throwIfFailed(subject: { readonly operation: string; readonly id: string }): void {
    const { exitCode, signalCode, spawnfile } = this.#child;
    if (signalCode === null && (exitCode === null || exitCode === 0)) return;
    const end = signalCode === null ? `exit code ${exitCode}` : signalCode;
    throw new HostError("Unavailable", `${spawnfile} ended with ${end}${this.lastWords()}`, subject);
  }

  lastWords(): string {
    const words = readFileSync(this.#logPath).subarray(-lastWordsBytes).toString().trim();
    return words === "" ? "" : `; end of ${this.#logPath}: ${words}`;
  }
}

/** No host listens, or the host is ending. */
function isAbsence(error: unknown): boolean {
  const code = (error as { code?: unknown } | null)?.code;
  if (code === "ENOENT" || code === "ECONNREFUSED" || code === "ECONNRESET" || code === "EPIPE") return true;
  return error instanceof HostError && error.operation === "greet host" && error.code === "Unavailable";
}
