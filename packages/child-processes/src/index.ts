import { type ChildProcess, type SpawnOptions, spawn } from "node:child_process";
import { requireDescriptors } from "./descriptors.ts";

export type { ChildProcess, SpawnOptions } from "node:child_process";

/**
 * Starts a program. Rejects with the system's error if it cannot be started. Node reports that in three ways: it throws for
 * an invalid call and for some shortages (ENOMEM), and emits `error` for the rest, without any streams when descriptors run
 * out (EMFILE, ENFILE). A program that runs has every stream that was requested. Listeners added right after the promise
 * resolves miss no event.
 *
 * The program is started synchronously, so the caller may enter a namespace for the duration of the call. `onPid` is called
 * before the program can end, for callers that must distinguish their own children from others.
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
  // Emitted when a signal cannot be sent; `kill` reports that by its result.
  child.on("error", () => {});
  return child;
}

/** A stream takes a socket pair and the child's copy; a program takes the pipe by which the child reports a failed exec. */
const perStream = 3;
const perProgram = 4;
const usualStreams = 3;

/** If descriptors run out half-way, Node neither returns nor closes the streams that it has already opened. */
function checkDescriptors(file: string, { stdio }: SpawnOptions): void {
  const streams = Array.isArray(stdio) ? stdio.length : usualStreams;
  requireDescriptors(streams * perStream + perProgram, `spawn ${file}`);
}
