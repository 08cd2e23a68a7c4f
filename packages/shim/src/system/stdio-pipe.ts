import { createWriteStream } from "node:fs";
import net from "node:net";
import { Readable, Writable } from "node:stream";
import { fileURLToPath } from "node:url";
import type { Clock } from "@uvm-shim/lifecycle";
import { abortable } from "@uvm-shim/lifecycle";
import { describeError, ShimError } from "../errors.ts";
import type { OpenStdio, StdioPaths, UpstreamStdio } from "../platform.ts";
import { redactedUri } from "../redaction.ts";
import { endStream } from "./stdio-binary.ts";
import type { StdioOptions } from "./system.ts";

/** What the ends of a Windows client are opened with. */
export interface PipeStdioOptions extends Omit<StdioOptions, "namespace"> {
  /** Default: net.connect; tests pass their own. */
  readonly connect?: (path: string) => net.Socket;
}

type Field = "stdin" | "stdout" | "stderr";

const pipePrefix = "\\\\.\\pipe\\";
const firstRetryMilliseconds = 200;
const longestRetryMilliseconds = 60_000;
/** Errors of a write when the pipe's server has gone. */
const disconnected = new Set([
  "EPIPE",
  "ECONNRESET",
  "ENOTCONN",
  "EOF",
  "ERR_STREAM_DESTROYED",
  "ERR_STREAM_WRITE_AFTER_END",
]);

/**
 * Opens the stdio of a containerd client on Windows: named pipes, which the client serves and the shim dials, or files
 * (`file://`) for output. Waits while all instances of a pipe are in use.
 */
export function createPipeStdio(options: PipeStdioOptions): UpstreamStdio {
  return {
    open: async (paths, signal): Promise<OpenStdio> => {
      const opening = {
        stdin: openInput(paths, options, signal),
        stdout: openOutput("stdout", paths, options, signal),
        stderr: openOutput("stderr", paths, options, signal),
      };
      const opened = await Promise.allSettled(Object.values(opening));
      const refused = opened.find((each) => each.status === "rejected");
      if (refused !== undefined) {
        for (const each of opened) if (each.status === "fulfilled") each.value?.destroy();
        throw refused.reason;
      }
      const [stdin, stdout, stderr] = [await opening.stdin, await opening.stdout, await opening.stderr];
      let closing: Promise<void> | undefined;
      return {
        ...(stdin === undefined ? {} : { stdin }),
        ...(stdout === undefined ? {} : { stdout }),
        ...(stderr === undefined ? {} : { stderr }),
        closeStdin: () => stdin?.letEnd(),
        close: () => {
          stdin?.destroy();
          closing ??= Promise.all([stdout, stderr].map((each) => each && endStream(each, options.clock))).then(
            () => {},
          );
          return closing;
        },
      };
    },
  };
}

async function openInput(
  { stdin }: StdioPaths,
  options: PipeStdioOptions,
  signal: AbortSignal | undefined,
): Promise<PipeInput | undefined> {
  if (stdin === "") return undefined;
  const pipe = pipeOf("stdin", stdin);
  const socket = await dial("stdin", pipe, options, signal);
  return new PipeInput(socket, options.clock, (abort) => dial("stdin", pipe, options, abort));
}

async function openOutput(
  field: "stdout" | "stderr",
  paths: StdioPaths,
  options: PipeStdioOptions,
  signal: AbortSignal | undefined,
): Promise<Writable | undefined> {
  const target = paths[field];
  // A terminal has one output, so its stderr is never written to.
  if (target === "" || (field === "stderr" && paths.terminal)) return undefined;
  if (target.startsWith("file:")) return openFile(field, target);
  const pipe = pipeOf(field, target);
  const socket = await dial(field, pipe, options, signal);
  return new PipeOutput(socket, options, (abort) => dial(field, pipe, options, abort));
}

function pipeOf(field: Field, target: string): string {
  if (target.toLowerCase().startsWith(pipePrefix)) return target;
  const alternative = field === "stdin" ? "" : " or file://";
  throw new ShimError(
    "InvalidArgument",
    `${field} is ${JSON.stringify(redactedUri(target))}, expected the path of a named pipe (${pipePrefix}...)${alternative}`,
  );
}

async function openFile(field: Field, target: string): Promise<Writable> {
  try {
    const stream = createWriteStream(fileURLToPath(target), { flags: "a" });
    await new Promise<void>((resolve, reject) => stream.once("open", () => resolve()).once("error", reject));
    stream.on("error", () => {});
    return stream;
  } catch (error) {
    throw cannotOpen(field, target, error);
  }
}

async function dial(
  field: Field,
  pipe: string,
  { connect = net.connect }: PipeStdioOptions,
  signal: AbortSignal | undefined,
): Promise<net.Socket> {
  signal?.throwIfAborted();
  const socket = connect(pipe);
  // The user of the stream handles errors; one without a user must not crash the shim.
  socket.on("error", () => {});
  const connected = new Promise<void>((resolve, reject) => socket.once("connect", resolve).once("error", reject));
  try {
    await abortable(connected, signal);
    return socket;
  } catch (error) {
    socket.destroy();
    throw signal?.aborted ? error : cannotOpen(field, pipe, error);
  }
}

function cannotOpen(field: Field, target: string, cause: unknown): ShimError {
  return new ShimError("InvalidArgument", `${field} ${target} cannot be opened: ${describeError(cause)}`, { cause });
}

/** Output to a pipe, which is dialled again when its server goes away, as when containerd restarts. */
class PipeOutput extends Writable {
  readonly #options: { readonly clock: Clock; readonly retryMilliseconds: () => Promise<number> };
  readonly #dial: (signal: AbortSignal) => Promise<net.Socket>;
  readonly #stop = new AbortController();
  #socket: net.Socket;

  constructor(
    socket: net.Socket,
    options: Pick<PipeStdioOptions, "clock" | "retryMilliseconds">,
    redial: (signal: AbortSignal) => Promise<net.Socket>,
  ) {
    super();
    this.#options = options;
    this.#dial = redial;
    this.#socket = socket.resume();
    this.on("error", () => {});
  }

  override _write(chunk: Buffer, _encoding: string, done: (error?: Error) => void): void {
    this.#send(chunk).then(() => done(), done);
  }

  override _final(done: () => void): void {
    // Also called when the reader has gone; there is nobody left to report that to.
    this.#socket.end(() => done());
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#stop.abort(new ShimError("Cancelled", "the output was closed"));
    this.#socket.destroy();
    done(error);
  }

  async #send(chunk: Buffer): Promise<void> {
    for (;;) {
      try {
        await new Promise<void>((resolve, reject) => {
          this.#socket.write(chunk, (error) => (error ? reject(error) : resolve()));
        });
        return;
      } catch (error) {
        this.#socket.destroy();
        if (!disconnected.has((error as NodeJS.ErrnoException).code ?? "")) throw error;
        this.#socket = (await this.#redial()).resume();
      }
    }
  }

  async #redial(): Promise<net.Socket> {
    const { clock, retryMilliseconds } = this.#options;
    return await dialAgain(this.#dial, { clock, limit: await retryMilliseconds(), signal: this.#stop.signal });
  }
}

/**
 * Input from a pipe, which is dialled again when its server goes away: a pipe does not show whether its client has
 * finished or restarts, so the input ends only after `letEnd`.
 */
class PipeInput extends Readable {
  readonly #clock: Clock;
  readonly #dial: (signal: AbortSignal) => Promise<net.Socket>;
  readonly #stop = new AbortController();
  /** Undefined while the pipe has no server. */
  #socket: net.Socket | undefined;

  constructor(socket: net.Socket, clock: Clock, redial: (signal: AbortSignal) => Promise<net.Socket>) {
    super();
    this.#clock = clock;
    this.#dial = redial;
    this.on("error", () => {});
    this.#take(socket);
  }

  letEnd(): void {
    this.#stop.abort(new ShimError("Cancelled", "the input was closed"));
  }

  override _read(): void {
    this.#socket?.resume();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.letEnd();
    this.#socket?.destroy();
    done(error);
  }

  #take(socket: net.Socket): void {
    this.#socket = socket;
    socket.on("data", (chunk: Buffer) => {
      if (!this.push(chunk)) socket.pause();
    });
    // Emitted after an error too.
    socket.once("close", () => void this.#dialUntilClosed());
    socket.once("end", () => socket.destroy());
  }

  async #dialUntilClosed(): Promise<void> {
    this.#socket = undefined;
    const { signal } = this.#stop;
    try {
      // Without a pause, a server that closes every connection at once would cause a busy loop.
      await this.#clock.delay(firstRetryMilliseconds, signal);
      this.#take(await dialAgain(this.#dial, { clock: this.#clock, limit: 0, signal }));
    } catch {
      // Dialling only fails after `letEnd`.
      if (!this.destroyed) this.push(null);
    }
  }
}

/** Dials with increasing pauses until the pipe is served, or the limit in milliseconds is over; 0 means no limit. */
async function dialAgain(
  dialOnce: (signal: AbortSignal) => Promise<net.Socket>,
  { clock, limit, signal }: { readonly clock: Clock; readonly limit: number; readonly signal: AbortSignal },
): Promise<net.Socket> {
  let wait = firstRetryMilliseconds;
  for (let waited = 0; ; waited += wait, wait = Math.min(wait * 1.5, longestRetryMilliseconds)) {
    try {
      return await dialOnce(signal);
    } catch (error) {
      if (signal.aborted || (limit > 0 && waited + wait > limit)) throw error;
    }
    await clock.delay(wait, signal);
  }
}
