import { closeSync, fstatSync, ftruncateSync, mkdirSync, openSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
// A pause between two looks, not a deadline: it wakes this process once, where a `Clock` does so in steps.
import { setTimeout as delay } from "node:timers/promises";
import { type ChildProcess, startProgram } from "@uvm-shim/child-processes";
import { messageOf } from "@uvm-shim/lifecycle";
import { abortedError, HostError } from "../host-error.ts";
import { EmulatorConnection } from "./connection.ts";

/** How the emulated host is started. It is given `--socket <path>` behind these arguments. */
export interface StartCommand {
  readonly command: string;
  readonly args?: readonly string[];
  readonly env?: { readonly [name: string]: string };
}

export interface ConnectOptions {
  readonly socketPath: string;
  /** Absent: a host that does not listen is Unavailable. */
  readonly start?: StartCommand | undefined;
  /** False: a host that does not listen is NotFound (`gone`), for callers that only clean up. Default true. */
  readonly startOnDemand?: boolean;
  readonly signal?: AbortSignal | undefined;
  /** How long a started host may take until it listens, in milliseconds. Default 10 000. */
  readonly timeoutMs?: number;
}

const firstRetryMs = 5;
const longestRetryMs = 80;
/** A host that loses the race to start exits at once; the next one is not tried before this has passed. */
const restartPauseMs = 250;
const largestLogBytes = 1024 * 1024;
const lastWordsBytes = 2000;

/** Connects to the emulated host, which is started first where that is allowed and nobody listens. */
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
        throw new HostError("NotFound", "nobody listens there", { ...subject, gone: true, cause: error });
      }
      if (options.start === undefined) {
        throw new HostError("Unavailable", "nobody listens there, and this host is not started on demand", {
          ...subject,
          cause: error,
        });
      }
      if (performance.now() > deadline) {
        const words = starting?.lastWords() ?? "";
        throw new HostError("DeadlineExceeded", `the host was started and does not listen${words}`, {
          ...subject,
          cause: error,
        });
      }
      starting?.throwIfFailed(subject);
      if (starting === undefined || starting.mayBeFollowed)
        starting = await StartedHost.start(options.start, socketPath);
    }
    await delay(pause, undefined, signal === undefined ? {} : { signal }).catch(() => {});
  }
}

function throwIfAborted(
  signal: AbortSignal | undefined,
  subject: { readonly operation: string; readonly id: string },
): void {
  if (signal?.aborted === true) throw abortedError(signal, "cancelled", subject);
}

/** One attempt to start the host as a process of its own, which outlives this one. */
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
      const child = await startProgram(command, [...args, "--socket", socketPath], {
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
    return words === "" ? "" : `; its last words in ${this.#logPath}: ${words}`;
  }
}

/** Nobody listens, or the host that did is just ending. */
function isAbsence(error: unknown): boolean {
  const code = (error as { code?: unknown } | null)?.code;
  if (code === "ENOENT" || code === "ECONNREFUSED" || code === "ECONNRESET" || code === "EPIPE") return true;
  return error instanceof HostError && error.operation === "greet host" && error.code === "Unavailable";
}
