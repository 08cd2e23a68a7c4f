import { close, constants, fstat, mkdir, open, readFile, type Stats } from "node:fs";
import path from "node:path";
import { promisify } from "node:util";
import { requireDescriptors } from "@uvm-shim/child-processes/descriptors";
import { abortable, type Clock, settlesWithin } from "@uvm-shim/lifecycle";
import { ShimError } from "../errors.ts";
import { FileCallQueue } from "./file-call-queue.ts";

// Not of node:fs/promises, which loads what reads lines too, and `start` waits for it.
const openDescriptor = promisify(open);
const closeDescriptor = promisify(close);
const readDescriptor: (descriptor: number) => Promise<Buffer> = promisify(readFile);
const makeOneDirectory: (directory: string, options: { readonly mode: number }) => Promise<unknown> = promisify(mkdir);
const statDescriptor: (descriptor: number) => Promise<Stats> = promisify(fstat);

/** Calls on a file system that takes longer fail; milliseconds. */
export const longestFileCall = 5000;
/** The size of Node's thread pool in the serving process. */
export const fileThreads = 24;
/** Calls of the file system that may be under way within their time limit. */
export const mostCallsAtOnce = 8;
/** Calls on a file system that does not answer block their threads for ever; the threads above this limit are for output. */
export const mostCallsInAll = 16;

/**
 * Descriptors left free for connections and short-lived files: without one, Node closes a new connection, and containerd
 * considers a shim dead that closes its connection.
 */
const reservedDescriptors = 8;

const queue = new FileCallQueue({ atOnce: mostCallsAtOnce, inAll: mostCallsInAll });
/** Subjects of calls that timed out and are still blocked: a repetition would block one more thread. */
const unanswered = new Set<string>();
const mostCharacters = 100;

/** What bounds a call of the file system. */
export interface FileCallOptions {
  readonly clock: Clock;
  readonly signal?: AbortSignal | undefined;
}

/** The path and, where it is not the path, the beginning of error messages. */
export type FileCallTarget = string | { readonly path: string; readonly subject: string };

/**
 * Makes a call on a path that a client named, off the event loop and with a time limit: the path may lead to a file
 * system that does not answer. A result that arrives too late goes to `releaseLate`.
 */
export async function callFileSystem<T>(
  target: FileCallTarget,
  call: () => Promise<T>,
  releaseLate: (late: T) => void,
  { clock, signal }: FileCallOptions,
): Promise<T> {
  const { path, subject } = typeof target === "string" ? { path: target, subject: target } : target;
  signal?.throwIfAborted();
  if (unanswered.has(subject)) {
    throw new ShimError("DeadlineExceeded", `${subject}: an earlier call on its file system is still unanswered`);
  }
  let isGivenUp = false;
  let hasBegun = false;
  const begin = (): Promise<T> => {
    hasBegun = true;
    return call();
  };
  const givenUp = (): ShimError => new ShimError("Cancelled", `${subject}: cancelled while queued`);
  const overdue = Promise.withResolvers<void>();
  const result = queue.run({ path, isGivenUp: () => isGivenUp, call: begin, givenUp, overdue: overdue.promise });
  try {
    if (!(await settlesWithin(abortable(result, signal), longestFileCall, clock))) {
      if (!hasBegun) throw neverStarted(subject);
      overdue.resolve();
      unanswered.add(subject);
      const forget = (): boolean => unanswered.delete(subject);
      result.then(forget, forget);
      throw new ShimError(
        "DeadlineExceeded",
        `${subject}: its file system did not answer within ${longestFileCall} ms`,
      );
    }
    return await abortable(result, signal);
  } catch (error) {
    isGivenUp = true;
    result.then(releaseLate).catch(() => {});
    throw error;
  }
}

function neverStarted(subject: string): ShimError {
  const others = [...unanswered].map((other) => other.slice(0, mostCharacters)).join(", ");
  const why = others === "" ? "other calls are slow" : `unanswered calls: ${others}`;
  return new ShimError("DeadlineExceeded", `${subject}: still queued after ${longestFileCall} ms, ${why}`);
}

/** A file that is open, and what kind it is. */
export interface OpenedFile {
  /** The caller closes it. */
  readonly descriptor: number;
  readonly kind: Stats;
}

/** Opens without acquiring a controlling terminal: the shim leads a session. */
export async function openNamed(
  field: string,
  file: string,
  flags: number,
  options: FileCallOptions & { readonly makesDirectory?: boolean },
): Promise<OpenedFile> {
  const call = async (): Promise<OpenedFile> => {
    if (process.platform !== "win32") requireDescriptors(1 + reservedDescriptors, `open ${file}`);
    if (options.makesDirectory) await makeDirectories(path.dirname(file));
    const descriptor = await openDescriptor(file, flags | constants.O_NOCTTY, 0o644);
    try {
      return { descriptor, kind: await statDescriptor(descriptor) };
    } catch (error) {
      close(descriptor);
      throw error;
    }
  };
  const subject = `${field} ${file} cannot be opened`;
  return await callFileSystem({ path: file, subject }, call, (late) => close(late.descriptor), options);
}

/** Reads a regular file. A FIFO without writer would block, and a device might never end. */
export async function readNamedFile(file: string, largest: number, options: FileCallOptions): Promise<Buffer> {
  const call = async (): Promise<Buffer> => {
    const descriptor = await openDescriptor(file, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
    try {
      const stats = await statDescriptor(descriptor);
      // For a directory, the system's own error is clear.
      if (!stats.isFile() && !stats.isDirectory()) throw new ShimError("InvalidArgument", "it is not a regular file");
      if (stats.size > largest) {
        throw new ShimError("InvalidArgument", `it has ${stats.size} bytes, expected at most ${largest}`);
      }
      return await readDescriptor(descriptor);
    } finally {
      await closeDescriptor(descriptor);
    }
  };
  return await callFileSystem(file, call, () => {}, options);
}

/**
 * Makes a directory and its parents. Node's own recursive mkdir never returns where the parent does not exist and cannot
 * be made, as in /proc.
 */
export async function makeDirectories(directory: string, mode = 0o755): Promise<void> {
  const missing = await makeDirectory(directory, mode);
  if (missing === undefined) return;
  const parent = path.dirname(directory);
  if (parent === directory) throw missing;
  await makeDirectories(parent, mode);
  // The parent exists now, so another error is final.
  const refused = await makeDirectory(directory, mode);
  if (refused !== undefined) throw refused;
}

/** Returns the error when the parent is missing; an existing directory counts as made. */
async function makeDirectory(directory: string, mode: number): Promise<Error | undefined> {
  try {
    await makeOneDirectory(directory, { mode });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT") return error as Error;
    if (code !== "EEXIST") throw error;
  }
  return undefined;
}
