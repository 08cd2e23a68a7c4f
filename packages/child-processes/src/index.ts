import { type ChildProcess, type SpawnOptions, spawn } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import { devNull } from "node:os";

export type { ChildProcess, SpawnOptions } from "node:child_process";

/**
 * Starts a program. Rejects with the system's error when it cannot be started, however Node tells that: it throws what is
 * wrong with the call and some of what the system lacks (ENOMEM), and tells the rest by an event, without any stream where
 * descriptors are lacking (EMFILE, ENFILE). Of a program that runs every stream that was asked for is there. What is listened
 * for right after the promise has resolved misses nothing.
 *
 * The program is started before this returns, so the caller may stand in a place of its own (a namespace) for the call, and
 * `onPid` is told of it before that, for those who tell their children from others.
 */
export async function startProgram(
  file: string,
  argumentList: readonly string[],
  options: SpawnOptions,
  onPid?: (pid: number) => void,
): Promise<ChildProcess> {
  if (process.platform !== "win32") checkDescriptors(file, options);
  const child = spawn(file, argumentList, options);
  if (child.pid !== undefined) onPid?.(child.pid);
  await new Promise<void>((resolve, reject) => child.once("spawn", resolve).once("error", reject));
  // Of a signal that cannot be sent, which whoever sends it is told by the result.
  child.on("error", () => {});
  return child;
}

/** Two for each stream and one that the new process moves it to; two by which that tells whether it could run the program. */
const perStream = 3;
const perProgram = 4;
const usualStreams = 3;

/** Where descriptors end half-way Node has the streams, gives them to nobody and never closes them. */
function checkDescriptors(file: string, { stdio }: SpawnOptions): void {
  const streams = Array.isArray(stdio) ? stdio.length : usualStreams;
  requireDescriptors(streams * perStream + perProgram, `spawn ${file}`);
}

/** Throws the system's error where fewer descriptors than so many can be opened now. */
export function requireDescriptors(count: number, subject: string): void {
  const open: number[] = [];
  try {
    while (open.length < count) open.push(openSync(devNull, "r"));
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    throw Object.assign(new Error(`${subject} ${code}`, { cause }), { code });
  } finally {
    for (const descriptor of open) closeSync(descriptor);
  }
}
