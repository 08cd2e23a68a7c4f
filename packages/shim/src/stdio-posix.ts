import { closeSync, constants, createWriteStream, fstatSync, mkdirSync, openSync } from "node:fs";
import net from "node:net";
import path from "node:path";
import type { Readable, Writable } from "node:stream";
import { type Clock, systemClock } from "./clock.ts";
import { ShimError } from "./errors.ts";
import { endStream, openLoggingBinary } from "./stdio-binary.ts";
import type { OpenStdio, StdioPaths, UpstreamStdio } from "./types.ts";

export interface PosixStdioOptions {
  readonly namespace: string;
  readonly clock?: Clock;
  /** How long `close` waits for a reader that has not come yet and for whom output is waiting; milliseconds. */
  readonly lateReaderMilliseconds?: number;
}

/** An end that was opened: `close` is repeatable and resolves when the descriptor is closed. */
export interface OutputEnd {
  readonly stream: Writable;
  close(): Promise<void>;
}

const lateReaderPollMilliseconds = 20;

/**
 * Opens the ends that the client of containerd made: FIFOs (a bare path or `fifo://`), files (`file://`), or a
 * logging binary (`binary://`). Nothing here waits for the other side to open, and no thread is ever held by it.
 */
export function createPosixStdio(options: PosixStdioOptions): UpstreamStdio {
  return {
    open: async (paths, signal): Promise<OpenStdio> => {
      signal?.throwIfAborted();
      const ends: (() => Promise<void>)[] = [];
      try {
        const binary =
          parseUri("stdout", paths.stdout).kind === "binary" ? openLoggingBinary(paths, options) : undefined;
        if (binary !== undefined) ends.push(() => binary.close());
        const input = paths.stdin === "" ? undefined : openInput(paths.stdin);
        if (input !== undefined) ends.push(async () => input.close());
        const output = (field: "stdout" | "stderr"): Writable | undefined => {
          // A terminal has one output; what the client names as its stderr is never written to.
          if (paths[field] === "" || (field === "stderr" && paths.terminal)) return undefined;
          if (binary !== undefined) return field === "stdout" ? binary.stdout : binary.stderr;
          const end = openOutput(field, paths, options);
          ends.push(() => end.close());
          return end.stream;
        };
        const stdout = output("stdout");
        const stderr = output("stderr");
        await binary?.ready(signal);
        let closing: Promise<void> | undefined;
        return {
          ...(input === undefined ? {} : { stdin: input.stream }),
          ...(stdout === undefined ? {} : { stdout }),
          ...(stderr === undefined ? {} : { stderr }),
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

export function parseUri(field: "stdin" | "stdout" | "stderr", value: string): StdioUri {
  if (value === "") return { kind: "none" };
  if (value.startsWith("/")) return { kind: "path", path: value };
  const url = URL.canParse(value) ? new URL(value) : undefined;
  const file = url && decodedPath(url);
  if (url !== undefined && file?.startsWith("/")) {
    if (url.protocol === "fifo:") return { kind: "path", path: file };
    if (url.protocol === "file:" && field !== "stdin") return { kind: "file", path: file };
    if (url.protocol === "binary:" && field !== "stdin") return { kind: "binary", url };
  }
  const accepted =
    field === "stdin" ? "an absolute path or fifo://" : "an absolute path, fifo://, file:// or binary://";
  throw new ShimError("InvalidArgument", `${field} is ${JSON.stringify(value)}; accepted is ${accepted}`);
}

/** Undefined for what is encoded wrongly. */
function decodedPath(url: URL): string | undefined {
  try {
    return decodeURIComponent(url.pathname);
  } catch {
    return undefined;
  }
}

interface InputEnd {
  readonly stream: Readable;
  /** From now on the input ends with its last writer. Repeatable. */
  letEnd(): void;
  close(): void;
}

/**
 * A FIFO's reading end, opened without waiting for its writer. A writing end is kept beside it, so that a client that
 * leaves, as containerd does when it restarts, does not end the process's input: another may come.
 */
function openInput(uri: string): InputEnd {
  const parsed = parseUri("stdin", uri);
  if (parsed.kind !== "path") throw new ShimError("Internal", `stdin ${uri} has no path`);
  const descriptor = openPath("stdin", parsed.path, constants.O_RDONLY | constants.O_NONBLOCK);
  const stream = pipeSocket(descriptor, "stdin", parsed.path, { readable: true, writable: false });
  let keeper: number | undefined;
  try {
    keeper = openPath("stdin", parsed.path, constants.O_WRONLY | constants.O_NONBLOCK);
  } catch (error) {
    stream.destroy();
    throw error;
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

function openOutput(field: "stdout" | "stderr", paths: StdioPaths, options: PosixStdioOptions): OutputEnd {
  const parsed = parseUri(field, paths[field]);
  switch (parsed.kind) {
    case "path":
      return openPipeOutput(field, parsed.path, options);
    case "file":
      mkdirSync(path.dirname(parsed.path), { recursive: true, mode: 0o755 });
      return fileOutput(field, parsed.path, constants.O_CREAT);
    case "none":
    case "binary":
      throw new ShimError(
        "InvalidArgument",
        `${field} ${JSON.stringify(paths[field])}: stdout has to be a binary:// too`,
      );
  }
}

function fileOutput(field: string, file: string, flags: number): OutputEnd {
  const descriptor = openPath(field, file, constants.O_WRONLY | constants.O_APPEND | flags);
  const stream = createWriteStream("", { fd: descriptor });
  stream.on("error", () => {});
  return { stream, close: () => endStream(stream) };
}

/**
 * The writing end of a FIFO. A reading end is kept beside it, so that a reader that leaves, as containerd does when it
 * restarts, neither breaks the process's output nor loses what it has not read.
 */
function openPipeOutput(field: "stdout" | "stderr", file: string, options: PosixStdioOptions): OutputEnd {
  const clock = options.clock ?? systemClock;
  let readerSeen = true;
  let writer: number;
  let keeper: number;
  try {
    writer = openSync(file, constants.O_WRONLY | constants.O_NONBLOCK);
    if (!fstatSync(writer).isFIFO()) {
      closeSync(writer);
      return fileOutput(field, file, 0);
    }
    keeper = openPath(field, file, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENXIO") throw openError(field, file, error);
    readerSeen = false;
    keeper = openPath(field, file, constants.O_RDONLY | constants.O_NONBLOCK);
    writer = openPath(field, file, constants.O_WRONLY | constants.O_NONBLOCK);
  }
  const stream = pipeSocket(writer, field, file, { readable: false, writable: true });
  const close = async (): Promise<void> => {
    // Closing the last end empties the pipe: output that a reader has yet to come for would be lost.
    const holder = !readerSeen && stream.bytesWritten > 0 ? openForWriting(file) : undefined;
    closeSync(keeper);
    stream.destroy();
    if (holder === undefined) return;
    const patience = options.lateReaderMilliseconds ?? 1000;
    for (let waited = 0; waited < patience && !hasReader(file); waited += lateReaderPollMilliseconds) {
      await clock.delay(lateReaderPollMilliseconds);
    }
    closeSync(holder);
  };
  return { stream, close };
}

function hasReader(file: string): boolean {
  const writer = openForWriting(file);
  if (writer !== undefined) closeSync(writer);
  return writer !== undefined;
}

/** Undefined when nobody has the FIFO open for reading, or it is gone. */
function openForWriting(file: string): number | undefined {
  try {
    return openSync(file, constants.O_WRONLY | constants.O_NONBLOCK);
  } catch {
    return undefined;
  }
}

/** A stream over a FIFO's descriptor that the event loop polls; no thread waits in a read or a write. */
function pipeSocket(
  descriptor: number,
  field: string,
  file: string,
  direction: { readonly readable: boolean; readonly writable: boolean },
): net.Socket {
  try {
    if (!fstatSync(descriptor).isFIFO()) {
      throw new ShimError("InvalidArgument", `${field} ${file} is not a FIFO`);
    }
    const socket = new net.Socket({ fd: descriptor, ...direction });
    // Who uses the stream sees its errors; one that comes when nobody does must not end the shim.
    socket.on("error", () => {});
    return socket;
  } catch (error) {
    closeSync(descriptor);
    throw error;
  }
}

function openPath(field: string, file: string, flags: number): number {
  try {
    return openSync(file, flags, 0o644);
  } catch (error) {
    throw openError(field, file, error);
  }
}

function openError(field: string, file: string, error: unknown): ShimError {
  if (error instanceof ShimError) return error;
  const reason = error instanceof Error ? error.message : String(error);
  return new ShimError("InvalidArgument", `${field} ${file} cannot be opened: ${reason}`, { cause: error });
}
