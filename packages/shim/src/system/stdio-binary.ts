import { promises, readFileSync } from "node:fs";
import type { Readable, Writable } from "node:stream";
import { finished } from "node:stream/promises";
import type { ChildProcess } from "@uvm-shim/child-processes";
import { abortable, type Clock, settlesWithin } from "@uvm-shim/lifecycle";
import { ShimError } from "../errors.ts";
import type { StdioPaths } from "../platform.ts";
import { redactedUri } from "../redaction.ts";
import { callFileSystem } from "./file-calls.ts";

/** How long a logging binary may take to become ready, and to exit after the end of its input; containerd's values. */
const readyMilliseconds = 10_000;
const endMilliseconds = 12_000;
/** How long the reader of an output may take for its last bytes; the same as for the late reader of a FIFO. */
const lastBytesMilliseconds = 1000;

/** How long logging binaries that have reached the end of their input may delay the exit of the shim. */
const shutdownMilliseconds = 500;

/** The running logging binaries, each with its exit. */
const running = new Map<ChildProcess, Promise<void>>();

/** Terminates those that do not exit on their own: after the shim has exited, nobody would. */
export async function endLoggingBinaries(clock: Clock): Promise<void> {
  await settlesWithin(Promise.all(running.values()), shutdownMilliseconds, clock);
  for (const child of running.keys()) signalGroup(child, "SIGTERM");
}

/** A logging program that is ready, and its inputs. */
export interface LoggingBinary {
  readonly stdout: Writable;
  readonly stderr: Writable;
  /** Ends its input. A binary that has stopped reading is killed at once; one that does not exit is killed later. */
  close(): Promise<void>;
}

/** What a logging program is started with. */
export interface LoggingBinaryOptions {
  readonly namespace: string;
  readonly clock: Clock;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Runs a logging binary by containerd's contract for `binary://<path>?<key>=<value>`: keys and values become arguments;
 * the binary reads standard output from descriptor 3 and standard error from 4, and closes or writes to descriptor 5 once
 * it is ready. Resolves then; a binary that fails to become ready is killed.
 */
export async function openLoggingBinary(paths: StdioPaths, options: LoggingBinaryOptions): Promise<LoggingBinary> {
  const { clock } = options;
  const url = new URL(paths.stdout);
  const executable = decodeURIComponent(url.pathname);
  const argumentList = [...url.searchParams].flatMap(([key, value]) => (value === "" ? [key] : [key, value]));
  // Spawning blocks the event loop while the kernel looks the program up, so its file system has to answer first.
  const lookUp = (): Promise<void> => promises.access(executable).catch(() => {});
  await callFileSystem(
    { path: executable, subject: `stdout ${redactedUri(paths.stdout)} cannot be run` },
    lookUp,
    () => {},
    options,
  );
  const [file, ...rest] = withSoftLimit([executable, ...argumentList], process.env);
  const { startProgram } = await import("@uvm-shim/child-processes");
  const child = await startProgram(file, rest, {
    stdio: ["ignore", "ignore", "ignore", "pipe", "pipe", "pipe"],
    env: { ...process.env, CONTAINER_ID: paths.containerId ?? "", CONTAINER_NAMESPACE: options.namespace },
    // A process group of its own, so that its children can be killed with it.
    detached: true,
  }).catch((cause: Error) => {
    throw new ShimError("InvalidArgument", `stdout ${redactedUri(paths.stdout)} cannot be run: ${cause.message}`, {
      cause,
    });
  });
  const descriptors: readonly unknown[] = child.stdio;
  const stdout = descriptors[3] as Writable;
  const stderr = descriptors[4] as Writable;
  const readiness = descriptors[5] as Readable;
  for (const stream of [stdout, stderr, readiness]) stream.on("error", () => {});
  const exited = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  running.set(child, exited);
  void exited.then(() => running.delete(child));
  try {
    await untilReady(child, readiness, paths.stdout, options);
  } catch (error) {
    signalGroup(child, "SIGKILL");
    for (const stream of [stdout, stderr, readiness]) stream.destroy();
    throw error;
  }
  return {
    stdout,
    stderr,
    close: async () => {
      const ends = await Promise.all([endStream(stdout, clock), endStream(stderr, clock)]);
      readiness.destroy();
      if (ends.includes("stuck")) signalGroup(child, "SIGKILL");
      void settlesWithin(exited, endMilliseconds, clock).then((hasEnded) => {
        if (!hasEnded) signalGroup(child, "SIGKILL");
      });
    },
  };
}

/** The shell exits with 127 when the program does not exist. */
const lowerLimitAndRun = 'ulimit -Sn "$0" && exec "$@"';

/**
 * Node raises its soft limit of descriptors to the hard limit. Programs that use select cannot cope with that, so they
 * get the limit with which the shim was started.
 */
export function withSoftLimit(
  command: readonly [string, ...string[]],
  { UVM_SHIM_OPEN_FILES: limit }: NodeJS.ProcessEnv,
): readonly [string, ...string[]] {
  return /^[0-9]+$/.test(limit ?? "") ? ["/bin/sh", "-c", lowerLimitAndRun, limit as string, ...command] : command;
}

async function untilReady(
  child: ChildProcess,
  readiness: Readable,
  uri: string,
  { clock, signal }: LoggingBinaryOptions,
): Promise<void> {
  const refused = new Promise<never>((_, reject) => {
    const refuse = (why: string): void => reject(new ShimError("InvalidArgument", `stdout ${redactedUri(uri)} ${why}`));
    child.once("exit", (code, killedBy) => {
      const expected = "before it was ready: expected it to close descriptor 5 and keep reading";
      // A program that exits with 0 may have left a child in its place, which reports when it is ready.
      if (code !== 0) refuse(`${code === null ? `was killed by ${killedBy}` : `exited with code ${code}`} ${expected}`);
    });
  });
  const said = new Promise<void>((resolve) => readiness.once("data", () => resolve()));
  const closed = finished(readiness.resume(), { error: false, writable: false }).then(async () => {
    // The descriptor of an exiting program is closed before its exit is reported.
    if (child.pid === undefined || isEnding(child.pid)) {
      await new Promise<void>((resolve) => {
        if (child.exitCode === 0) resolve();
        else child.once("exit", () => setImmediate(resolve));
      });
    }
  });
  const outcome = abortable(Promise.race([refused, said, closed]), signal);
  outcome.catch(() => {});
  if (await settlesWithin(outcome, readyMilliseconds, clock)) return await outcome;
  throw new ShimError(
    "DeadlineExceeded",
    `stdout ${redactedUri(uri)} was not ready within ${readyMilliseconds} ms: expected it to close descriptor 5`,
  );
}

const exitingFlag = 0x4;

/** Whether a process has begun to exit, by the flags (field 9) of /proc/<pid>/stat, or is gone. */
function isEnding(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return (Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[6]) & exitingFlag) !== 0;
  } catch (error) {
    // On any other error the exit event decides.
    return ["ENOENT", "ESRCH"].includes((error as NodeJS.ErrnoException).code ?? "");
  }
}

/** Signals the process with all its children. */
function signalGroup(child: ChildProcess, signal: "SIGTERM" | "SIGKILL"): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, signal);
  } catch {
    // The group is gone.
  }
}

function wasClosedByReader({ errored }: Writable): boolean {
  return ["EPIPE", "ECONNRESET"].includes((errored as NodeJS.ErrnoException | null)?.code ?? "");
}

/**
 * Writes what is buffered and closes the stream, within a time limit: "stuck" when the reader did not take all. A stream
 * that has failed or is closed counts as ended.
 */
export async function endStream(stream: Writable, clock: Clock): Promise<"ended" | "stuck"> {
  // An intact stream is only destroyed before its end by a caller that has given up waiting.
  const wasDropped = stream.destroyed && !stream.writableFinished && !wasClosedByReader(stream);
  if (!stream.writableEnded && !stream.destroyed) stream.end();
  const isOver = await settlesWithin(finished(stream, { readable: false }), lastBytesMilliseconds, clock);
  stream.destroy();
  return isOver && !wasDropped ? "ended" : "stuck";
}
