import { readFileSync } from "node:fs";
import { access } from "node:fs/promises";
import type { Readable, Writable } from "node:stream";
import { finished } from "node:stream/promises";
import { type ChildProcess, startProgram } from "@uvm-shim/child-processes";
import { abortable, type Clock, settlesWithin } from "@uvm-shim/lifecycle";
import { ShimError } from "../errors.ts";
import { shownUri } from "../given.ts";
import type { StdioPaths } from "../platform.ts";
import { withinBound } from "./file-calls.ts";

/** How long a logging binary may take to say that it is ready, and to end after its input has; containerd's numbers. */
const readyMilliseconds = 10_000;
const endMilliseconds = 12_000;
/** How long the last bytes of an output may take on their way to whoever reads them, as for a FIFO's late reader. */
const lastBytesMilliseconds = 1000;

/** What is left of them at the shim's end has had the end of its input, and this much time; the shim is waited for. */
const lastMilliseconds = 500;

/** Those that have not ended, each with its end. */
const running = new Map<ChildProcess, Promise<void>>();

/** Nobody would end those that do not end with their input once the shim has gone. */
export async function endLoggingBinaries(clock: Clock): Promise<void> {
  await settlesWithin(Promise.all(running.values()), lastMilliseconds, clock);
  for (const child of running.keys()) end(child, "SIGTERM");
}

export interface LoggingBinary {
  readonly stdout: Writable;
  readonly stderr: Writable;
  /**
   * Ends its input. One that does not end by itself is killed later, without anybody waiting for it; one that has
   * stopped reading is killed at once.
   */
  close(): Promise<void>;
}

export interface LoggingBinaryOptions {
  readonly namespace: string;
  readonly clock: Clock;
  readonly signal?: AbortSignal | undefined;
}

/**
 * containerd's contract for `binary://<path>?<key>=<value>`: standard output on descriptor 3, standard error on 4,
 * and descriptor 5 to close, or to write to, once it is ready; keys and values become arguments. Resolves when it is
 * ready. One that is refused has been killed.
 */
export async function openLoggingBinary(paths: StdioPaths, options: LoggingBinaryOptions): Promise<LoggingBinary> {
  const { clock } = options;
  const url = new URL(paths.stdout);
  const executable = decodeURIComponent(url.pathname);
  const argumentList = [...url.searchParams].flatMap(([key, value]) => (value === "" ? [key] : [key, value]));
  // The event loop waits until the program has been found. Whether it can be run is found out by running it.
  const look = (): Promise<void> => access(executable).catch(() => {});
  await withinBound(
    { path: executable, subject: `stdout ${shownUri(paths.stdout)} cannot be run` },
    look,
    () => {},
    options,
  );
  const [file, ...rest] = withSoftLimit([executable, ...argumentList], process.env);
  const child = await startProgram(file, rest, {
    stdio: ["ignore", "ignore", "ignore", "pipe", "pipe", "pipe"],
    env: { ...process.env, CONTAINER_ID: paths.containerId ?? "", CONTAINER_NAMESPACE: options.namespace },
    // A group of its own: what is ended is the program with all that it runs.
    detached: true,
  }).catch((cause: Error) => {
    throw new ShimError("InvalidArgument", `stdout ${shownUri(paths.stdout)} cannot be run: ${cause.message}`, {
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
    await ready(child, readiness, paths.stdout, options);
  } catch (error) {
    end(child, "SIGKILL");
    for (const stream of [stdout, stderr, readiness]) stream.destroy();
    throw error;
  }
  return {
    stdout,
    stderr,
    close: async () => {
      const ends = await Promise.all([endStream(stdout, clock), endStream(stderr, clock)]);
      readiness.destroy();
      if (ends.includes("stuck")) end(child, "SIGKILL");
      void settlesWithin(exited, endMilliseconds, clock).then((hasEnded) => {
        if (!hasEnded) end(child, "SIGKILL");
      });
    },
  };
}

/** Of bash and dash: a program that does not exist is told by the shell's exit code, 127. */
const lowerAndRun = 'ulimit -Sn "$0" && exec "$@"';

/**
 * The runtime has raised the number of descriptors that a process may have to the most that it can have. Programs that cannot
 * do with that many (some still use select) get what the shim was started with.
 */
export function withSoftLimit(
  command: readonly [string, ...string[]],
  { UVM_SHIM_OPEN_FILES: limit }: NodeJS.ProcessEnv,
): readonly [string, ...string[]] {
  return /^[0-9]+$/.test(limit ?? "") ? ["/bin/sh", "-c", lowerAndRun, limit as string, ...command] : command;
}

async function ready(
  child: ChildProcess,
  readiness: Readable,
  uri: string,
  { clock, signal }: LoggingBinaryOptions,
): Promise<void> {
  const refused = new Promise<never>((_, reject) => {
    const refuse = (why: string): void => reject(new ShimError("InvalidArgument", `stdout ${shownUri(uri)} ${why}`));
    child.once("exit", (code, killedBy) => {
      const expected = "before it was ready; a logging program closes descriptor 5 when it is, and reads on";
      // One that has ended well may have left a child in its place, which says when it is ready.
      if (code !== 0) refuse(`${code === null ? `was killed by ${killedBy}` : `exited with ${code}`} ${expected}`);
    });
  });
  const said = new Promise<void>((resolve) => readiness.once("data", () => resolve()));
  const closed = finished(readiness.resume(), { error: false, writable: false }).then(async () => {
    // The kernel closes the descriptor for a program that ends, too, before it tells its end.
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
    `stdout ${shownUri(uri)} was not ready in ${readyMilliseconds} ms; it closes descriptor 5 when it is`,
  );
}

const exitingFlag = 0x4;

/** Whether a process has begun to end, in the flags (field 9) of /proc/<pid>/stat, or has been waited for. */
function isEnding(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return (Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[6]) & exitingFlag) !== 0;
  } catch (error) {
    // Where nobody can say, its end says so itself.
    return ["ENOENT", "ESRCH"].includes((error as NodeJS.ErrnoException).code ?? "");
  }
}

/** With all that it runs. */
function end(child: ChildProcess, signal: "SIGTERM" | "SIGKILL"): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, signal);
  } catch {
    // Nothing of it is there any more.
  }
}

function wasClosedByReader({ errored }: Writable): boolean {
  return ["EPIPE", "ECONNRESET"].includes((errored as NodeJS.ErrnoException | null)?.code ?? "");
}

/**
 * Writes what is buffered and closes, within a bound: "stuck" when nobody took it all. A stream that failed or is
 * closed already counts as ended.
 */
export async function endStream(stream: Writable, clock: Clock): Promise<"ended" | "stuck"> {
  // Nobody but who has given up waiting destroys what is whole and has not been ended.
  const wasDropped = stream.destroyed && !stream.writableFinished && !wasClosedByReader(stream);
  if (!stream.writableEnded && !stream.destroyed) stream.end();
  const isOver = await settlesWithin(finished(stream, { readable: false }), lastBytesMilliseconds, clock);
  stream.destroy();
  return isOver && !wasDropped ? "ended" : "stuck";
}
