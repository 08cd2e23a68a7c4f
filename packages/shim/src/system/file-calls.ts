import { close, constants, fstat, open, type Stats } from "node:fs";
import { mkdir, open as openHandle } from "node:fs/promises";
import path from "node:path";
import { promisify } from "node:util";
import { requireDescriptors } from "@uvm-shim/child-processes";
import { abortable, type Clock, settlesWithin } from "@uvm-shim/lifecycle";
import { ShimError } from "../errors.ts";
import { FileTurns } from "./file-turns.ts";

const openDescriptor = promisify(open);
const statDescriptor: (descriptor: number) => Promise<Stats> = promisify(fstat);

/** A file system answers within this, or what is asked of it is refused; milliseconds. */
export const longestFileCall = 5000;
/** In which Node makes file calls; the serving process is started with so many. */
export const fileThreads = 24;
export const mostCallsAtOnce = 8;
/** A file system that does not answer keeps the threads that it was asked in for ever; the others are for output. */
export const mostCallsInAll = 16;

/**
 * What is kept for those who connect to the shim, and for what is short: a connection for which there is no descriptor is
 * closed by the runtime, and containerd takes a shim for dead that closes its connection.
 */
const keptDescriptors = 8;

const turns = new FileTurns({ atOnce: mostCallsAtOnce, inAll: mostCallsInAll });
/** By subject: what was given up and is not answered yet. Whoever asks again would take one more thread. */
const unanswered = new Set<string>();
const mostCharacters = 100;

export interface FileCallOptions {
  readonly clock: Clock;
  readonly signal?: AbortSignal | undefined;
}

/** The path that is asked for, and what an error begins with, where that is not the path. */
export type FileQuestion = string | { readonly path: string; readonly subject: string };

/**
 * A call on a path that a caller names: off the event loop and within a bound, since the path may lead to a file
 * system that does not answer. What comes after the bound goes to `giveBack`.
 */
export async function withinBound<T>(
  asked: FileQuestion,
  call: () => Promise<T>,
  giveBack: (late: T) => void,
  { clock, signal }: FileCallOptions,
): Promise<T> {
  const { path, subject } = typeof asked === "string" ? { path: asked, subject: asked } : asked;
  signal?.throwIfAborted();
  if (unanswered.has(subject)) {
    throw new ShimError("DeadlineExceeded", `${subject}: its file system has not answered yet since it was last asked`);
  }
  let isGivenUp = false;
  let hasBegun = false;
  const begin = (): Promise<T> => {
    hasBegun = true;
    return call();
  };
  const givenUp = (): ShimError => new ShimError("Cancelled", `${subject}: given up before its turn`);
  const overdue = Promise.withResolvers<void>();
  const result = turns.run({ path, isGivenUp: () => isGivenUp, call: begin, givenUp, overdue: overdue.promise });
  try {
    if (!(await settlesWithin(abortable(result, signal), longestFileCall, clock))) {
      if (!hasBegun) throw notAsked(subject);
      overdue.resolve();
      unanswered.add(subject);
      const forget = (): boolean => unanswered.delete(subject);
      result.then(forget, forget);
      throw new ShimError("DeadlineExceeded", `${subject}: its file system did not answer in ${longestFileCall} ms`);
    }
    return await abortable(result, signal);
  } catch (error) {
    isGivenUp = true;
    result.then(giveBack).catch(() => {});
    throw error;
  }
}

function notAsked(subject: string): ShimError {
  const others = [...unanswered].map((other) => other.slice(0, mostCharacters)).join(", ");
  const why = others === "" ? "others take longer" : `others have not been answered: ${others}`;
  return new ShimError("DeadlineExceeded", `${subject}: not asked of its file system in ${longestFileCall} ms, ${why}`);
}

export interface OpenedFile {
  /** Whoever asked closes it. */
  readonly descriptor: number;
  readonly kind: Stats;
}

/** Opens, and makes no terminal that of the shim, which leads a session. */
export async function openNamed(
  field: string,
  file: string,
  flags: number,
  options: FileCallOptions & { readonly makesDirectory?: boolean },
): Promise<OpenedFile> {
  const call = async (): Promise<OpenedFile> => {
    if (process.platform !== "win32") requireDescriptors(1 + keptDescriptors, `open ${file}`);
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
  return await withinBound({ path: file, subject }, call, (late) => close(late.descriptor), options);
}

/** The content of a regular file: waits for nobody to write to a FIFO, and reads no device without an end. */
export async function readNamedFile(file: string, largest: number, options: FileCallOptions): Promise<Buffer> {
  const call = async (): Promise<Buffer> => {
    const handle = await openHandle(file, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
    try {
      const stats = await handle.stat();
      // A directory cannot be read either, which the system says.
      if (!stats.isFile() && !stats.isDirectory())
        throw new ShimError("InvalidArgument", "it is not a regular file, expected one");
      if (stats.size > largest) {
        throw new ShimError("InvalidArgument", `it has ${stats.size} bytes, expected at most ${largest}`);
      }
      return await handle.readFile();
    } finally {
      await handle.close();
    }
  };
  return await withinBound(file, call, () => {}, options);
}

/**
 * Makes a directory and its parents. Node's own recursive mkdir tries for ever where a file system has no such
 * directory and takes none either, as /proc does.
 */
export async function makeDirectories(directory: string, mode = 0o755): Promise<void> {
  const missing = await makeDirectory(directory, mode);
  if (missing === undefined) return;
  const parent = path.dirname(directory);
  if (parent === directory) throw missing;
  await makeDirectories(parent, mode);
  // Its parent is there now: one that is still missing is refused.
  const refused = await makeDirectory(directory, mode);
  if (refused !== undefined) throw refused;
}

/** Answers with the error when the parent is missing; a directory that exists counts as made. */
async function makeDirectory(directory: string, mode: number): Promise<Error | undefined> {
  try {
    await mkdir(directory, { mode });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT") return error as Error;
    if (code !== "EEXIST") throw error;
  }
  return undefined;
}
