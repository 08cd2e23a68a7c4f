import { exitCodes } from "./errors.ts";

type Signal = "SIGINT" | "SIGTERM" | "SIGHUP";

/** What of a process can end a command. */
export interface Interruptible {
  once(signal: Signal, listener: () => void): unknown;
  readonly stdout: { on(event: "error", listener: (error: NodeJS.ErrnoException) => void): unknown };
  readonly stderr: { on(event: "error", listener: (error: NodeJS.ErrnoException) => void): unknown };
}

export interface Interruption {
  readonly signal: AbortSignal;
  /** Of the process, where the command ended with this code. */
  exitCodeFor(code: number): number;
}

/** Tells a command to end, so that it leaves nothing behind: for a signal, and when nobody reads its output any more. */
export function interruptionOf(process: Interruptible): Interruption {
  const interruption = new AbortController();
  let lost: NodeJS.ErrnoException | undefined;
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.once(signal, () => interruption.abort());
  process.stdout.on("error", (error) => {
    lost ??= error;
    interruption.abort();
  });
  // What would have been said there, nobody hears.
  process.stderr.on("error", () => {});
  return {
    signal: interruption.signal,
    // A reader that has seen enough, as head does, is no failure.
    exitCodeFor: (code) => (lost === undefined ? code : lost.code === "EPIPE" ? exitCodes.done : exitCodes.failed),
  };
}
