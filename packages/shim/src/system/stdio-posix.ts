import { closeSync, constants, createWriteStream, openSync } from "node:fs";
import net from "node:net";
import type { Readable, Writable } from "node:stream";
import { type Clock, systemClock } from "@uvm-shim/lifecycle";
import { describeError, ShimError } from "../errors.ts";
import type { OpenStdio, StdioPaths, UpstreamStdio } from "../platform.ts";
import { redactedUri } from "../redaction.ts";
import { type FileCallOptions, openNamed } from "./file-calls.ts";
import { FifoMove, type LinuxCallsPart } from "./output-move.ts";
import { endStream, openLoggingBinary } from "./stdio-binary.ts";

/** What the ends of a Linux client are opened with. */
export interface PosixStdioOptions {
  readonly namespace: string;
  readonly clock?: Clock;
  /** How long `close` waits for the first reader of a FIFO that holds output; milliseconds. */
  readonly lateReaderMilliseconds?: number;
  /** Called when much output goes to a FIFO; without it, this process reads and writes all of it. */
  readonly loadLinuxCalls?: (() => Promise<LinuxCallsPart>) | undefined;
}

/** `close` is idempotent and resolves once the descriptor is closed. */
export interface OutputEnd {
  readonly stream: Writable;
  /** Present for a FIFO: undefined when its source cannot be moved. */
  readonly move?: (calls: LinuxCallsPart, source: Readable) => FifoMove | undefined;
  close(): Promise<void>;
}

type Opening = FileCallOptions & Pick<PosixStdioOptions, "lateReaderMilliseconds">;

const lateReaderPollMilliseconds = 20;

/**
 * Opens the stdio that containerd's client made: FIFOs (a bare path or `fifo://`), files (`file://`) or a logging binary
 * (`binary://`). Never waits for the other side to open, and only for a limited time for a file system to answer.
 */
export function createPosixStdio(options: PosixStdioOptions): UpstreamStdio {
  const clock = options.clock ?? systemClock;
  return {
    open: async (paths, signal): Promise<OpenStdio> => {
      signal?.throwIfAborted();
      const opening: Opening = { ...options, clock, signal };
      const ends: (() => Promise<void>)[] = [];
      const moves = new Map<Writable, NonNullable<OutputEnd["move"]>>();
      const { loadLinuxCalls } = options;
      try {
        const hasBinary = parseUri("stdout", paths.stdout).kind === "binary";
        const input = paths.stdin === "" ? undefined : await openInput(paths, opening);
        if (input !== undefined) ends.push(async () => input.close());
        // A terminal has one output, so its stderr is never written to.
        const hasOutput = { stdout: paths.stdout !== "", stderr: paths.stderr !== "" && !paths.terminal };
        const output = async (field: "stdout" | "stderr"): Promise<Writable | undefined> => {
          if (!hasOutput[field] || hasBinary) return undefined;
          const end = await openOutput(field, paths, opening);
          ends.push(() => end.close());
          if (end.move !== undefined) moves.set(end.stream, end.move);
          return end.stream;
        };
        const files = { stdout: await output("stdout"), stderr: await output("stderr") };
        // Last, so that nothing can fail after the program has started.
        const binary = hasBinary ? await openLoggingBinary(paths, { ...options, clock, signal }) : undefined;
        if (binary !== undefined) ends.push(() => binary.close());
        const stdout = binary?.stdout ?? files.stdout;
        const stderr = hasOutput.stderr ? (binary?.stderr ?? files.stderr) : undefined;
        let closing: Promise<void> | undefined;
        return {
          ...(input === undefined ? {} : { stdin: input.stream }),
          ...(stdout === undefined ? {} : { stdout }),
          ...(stderr === undefined ? {} : { stderr }),
          ...(loadLinuxCalls !== undefined &&
            moves.size > 0 && {
              moveOutput: async (source: Readable, sink: Writable) => {
                const move = moves.get(sink);
                return move?.(await loadLinuxCalls(), source);
              },
            }),
          closeStdin: () => input?.letEnd(),
          close: () => {
            closing ??= Promise.all(ends.map((close) => close())).then(() => {});
            return closing;
          },
        };
      } catch (error) {
        await Promise.all(ends.map((close) => close()));
        throw error;
      }
    },
  };
}

type StdioUri =
  | { readonly kind: "none" }
  | { readonly kind: "path" | "file"; readonly path: string }
  | { readonly kind: "binary"; readonly url: URL };

/** What a name of an end means, by its scheme. Throws InvalidArgument for what is none. */
export function parseUri(field: "stdin" | "stdout" | "stderr", value: string): StdioUri {
  if (value === "") return { kind: "none" };
  if (value.startsWith("/") && !value.includes("\0")) return { kind: "path", path: value };
  // Parsers disagree whether a URL without slashes after its scheme has a path.
  const url = /^[a-z]+:\/\//i.test(value) && URL.canParse(value) ? new URL(value) : undefined;
  const file = url && decodedPath(url);
  if (url !== undefined && file?.startsWith("/") && !file.includes("\0")) {
    if (url.protocol === "fifo:") return { kind: "path", path: file };
    if (url.protocol === "file:" && field !== "stdin") return { kind: "file", path: file };
    if (url.protocol === "binary:" && field !== "stdin") return { kind: "binary", url };
  }
  const expected =
    field === "stdin" ? "an absolute path or fifo://" : "an absolute path, fifo://, file:// or binary://";
  throw new ShimError("InvalidArgument", `${field} is ${JSON.stringify(redactedUri(value))}, expected ${expected}`);
}

/** Undefined when the path is not valid percent-encoding. */
function decodedPath(url: URL): string | undefined {
  try {
    return decodeURIComponent(url.pathname);
  } catch {
    return undefined;
  }
}

interface InputEnd {
  readonly stream: Readable;
  /** Lets the input end when its last writer closes it. Idempotent. */
  letEnd(): void;
  close(): void;
}

/**
 * Opens the reading end of a FIFO without waiting for a writer, and keeps a writing end open: when containerd restarts,
 * the writer leaves and comes back, which must not end the process's input. Without that end, the input ends when a writer
 * has come and gone.
 */
async function openInput({ stdin: uri, endsWithWriter }: StdioPaths, opening: Opening): Promise<InputEnd> {
  const parsed = parseUri("stdin", uri);
  if (parsed.kind !== "path") throw new ShimError("Internal", `stdin ${redactedUri(uri)} has no path`);
  const descriptor = await openFifo("stdin", parsed.path, opening);
  const stream = pipeSocket(descriptor, { readable: true, writable: false });
  let keeper: number | undefined;
  try {
    if (endsWithWriter !== true) keeper = openAgain(descriptor, constants.O_WRONLY);
  } catch (error) {
    stream.destroy();
    throw openError("stdin", parsed.path, error);
  }
  const letEnd = (): void => {
    if (keeper !== undefined) closeSync(keeper);
    keeper = undefined;
  };
  const close = (): void => {
    letEnd();
    stream.destroy();
  };
  return { stream, letEnd, close };
}

async function openOutput(field: "stdout" | "stderr", paths: StdioPaths, opening: Opening): Promise<OutputEnd> {
  const parsed = parseUri(field, paths[field]);
  switch (parsed.kind) {
    case "path":
      return await openNamedOutput(field, parsed.path, 0, opening);
    case "file":
      return await openNamedOutput(field, parsed.path, constants.O_CREAT, { ...opening, makesDirectory: true });
    case "none":
    case "binary":
      throw new ShimError(
        "InvalidArgument",
        `${field} is ${JSON.stringify(redactedUri(paths[field]))}, which requires a binary:// stdout`,
      );
  }
}

/** The file's own type decides, not the URI's scheme. */
async function openNamedOutput(
  field: "stdout" | "stderr",
  file: string,
  flags: number,
  opening: Opening & { readonly makesDirectory?: boolean },
): Promise<OutputEnd> {
  const writing = constants.O_WRONLY | constants.O_APPEND | flags;
  try {
    const { descriptor, kind } = await openNamed(field, file, writing | constants.O_NONBLOCK, opening);
    if (kind.isFIFO()) {
      const keeper = openOther(descriptor, constants.O_RDONLY);
      return pipeOutput({ keeper, writer: descriptor, readerSeen: true }, opening);
    }
    if (kind.isFile()) return fileOutput(descriptor, opening);
    // Writing to a device may block, so it is opened again for blocking writes in a thread.
    closeSync(descriptor);
    return fileOutput((await openNamed(field, file, writing, opening)).descriptor, opening);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENXIO") throw openError(field, file, error);
    const keeper = await openFifo(field, file, opening);
    try {
      return pipeOutput({ keeper, writer: openOther(keeper, constants.O_WRONLY), readerSeen: false }, opening);
    } catch (reason) {
      throw openError(field, file, reason);
    }
  }
}

function fileOutput(descriptor: number, { clock }: Opening): OutputEnd {
  const stream = createWriteStream("", { fd: descriptor });
  stream.on("error", () => {});
  return { stream, close: async () => void (await endStream(stream, clock)) };
}

/**
 * The writing end of a FIFO, with a reading end kept open: when containerd restarts, its reader leaves and comes back,
 * which must neither break the process's output nor lose what is unread.
 */
function pipeOutput(
  ends: { readonly keeper: number; readonly writer: number; readonly readerSeen: boolean },
  { clock, lateReaderMilliseconds = 1000 }: Opening,
): OutputEnd {
  const { keeper, writer, readerSeen } = ends;
  const stream = pipeSocket(writer, { readable: false, writable: true });
  let moving: FifoMove | undefined;
  let isOpen = true;
  const move = (calls: LinuxCallsPart, source: Readable): FifoMove | undefined => {
    moving = isOpen ? FifoMove.of(calls, source, keeper) : undefined;
    return moving;
  };
  const close = async (): Promise<void> => {
    isOpen = false;
    moving?.stop();
    // Closing the last end discards the FIFO's content, which a late reader has yet to read.
    const holder = !readerSeen && stream.bytesWritten > 0 ? openIfPossible(keeper, constants.O_WRONLY) : undefined;
    closeSync(keeper);
    stream.destroy();
    if (holder === undefined) return;
    for (let waited = 0; waited < lateReaderMilliseconds && !hasReader(holder); waited += lateReaderPollMilliseconds) {
      await clock.delay(lateReaderPollMilliseconds);
    }
    closeSync(holder);
  };
  return { stream, move, close };
}

function hasReader(holder: number): boolean {
  const again = openIfPossible(holder, constants.O_WRONLY);
  if (again !== undefined) closeSync(again);
  return again !== undefined;
}

/** Undefined when the other end is not open, or no descriptor is free. */
function openIfPossible(descriptor: number, flags: number): number | undefined {
  try {
    return openAgain(descriptor, flags);
  } catch {
    return undefined;
  }
}

/** Opens the other end of the FIFO; closes this one on failure. */
function openOther(descriptor: number, flags: number): number {
  try {
    return openAgain(descriptor, flags);
  } catch (error) {
    closeSync(descriptor);
    throw error;
  }
}

/** Opens the same FIFO once more without its path, which may lead elsewhere by now. */
function openAgain(descriptor: number, flags: number): number {
  return openSync(`/proc/self/fd/${descriptor}`, flags | constants.O_NONBLOCK);
}

/** A stream that the event loop polls, so that no thread blocks in a read or write. */
function pipeSocket(
  descriptor: number,
  direction: { readonly readable: boolean; readonly writable: boolean },
): net.Socket {
  const socket = new net.Socket({ fd: descriptor, ...direction });
  // The user of the stream handles errors; one without a user must not crash the shim.
  socket.on("error", () => {});
  return socket;
}

/** Opens the reading end; throws InvalidArgument unless the file is a FIFO. */
async function openFifo(field: string, file: string, opening: Opening): Promise<number> {
  const flags = constants.O_RDONLY | constants.O_NONBLOCK;
  const { descriptor, kind } = await openNamed(field, file, flags, opening).catch((error) => {
    throw openError(field, file, error);
  });
  if (kind.isFIFO()) return descriptor;
  closeSync(descriptor);
  throw new ShimError("InvalidArgument", `${field} ${file} is not a FIFO`);
}

function openError(field: string, file: string, error: unknown): unknown {
  if ((error as NodeJS.ErrnoException).syscall === undefined) return error;
  return new ShimError("InvalidArgument", `${field} ${file} cannot be opened: ${describeError(error)}`, {
    cause: error,
  });
}
