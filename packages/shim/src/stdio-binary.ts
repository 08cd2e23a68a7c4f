import { spawn } from "node:child_process";
import type { Readable, Writable } from "node:stream";
import { finished } from "node:stream/promises";
import { abortable, type Clock, settlesWithin, systemClock } from "./clock.ts";
import { ShimError } from "./errors.ts";
import type { StdioPaths } from "./types.ts";

/** How long a logging binary may take to say that it is ready, and to end after its input has; containerd's numbers. */
const readyMilliseconds = 10_000;
const endMilliseconds = 12_000;

export interface LoggingBinary {
  readonly stdout: Writable;
  readonly stderr: Writable;
  /** Resolves when the binary has said that it reads. */
  ready(signal?: AbortSignal): Promise<void>;
  /** Ends its input; one that does not end by itself is killed later, without anybody waiting for it. */
  close(): Promise<void>;
}

/**
 * containerd's contract for `binary://<path>?<key>=<value>`: standard output on descriptor 3, standard error on 4,
 * and descriptor 5 to close once it is ready; keys and values become arguments.
 */
export function openLoggingBinary(
  paths: StdioPaths,
  options: { readonly namespace: string; readonly clock?: Clock },
): LoggingBinary {
  const clock = options.clock ?? systemClock;
  const url = new URL(paths.stdout);
  const executable = decodeURIComponent(url.pathname);
  const argumentList = [...url.searchParams].flatMap(([key, value]) => (value === "" ? [key] : [key, value]));
  const child = spawn(executable, argumentList, {
    stdio: ["ignore", "ignore", "ignore", "pipe", "pipe", "pipe"],
    env: { ...process.env, CONTAINER_ID: paths.containerId ?? "", CONTAINER_NAMESPACE: options.namespace },
  });
  const descriptors: readonly unknown[] = child.stdio;
  const stdout = descriptors[3] as Writable;
  const stderr = descriptors[4] as Writable;
  const readiness = descriptors[5] as Readable;
  for (const stream of [stdout, stderr, readiness]) stream.on("error", () => {});
  const failed = new Promise<never>((_, reject) => {
    child.once("error", (error) => {
      reject(
        new ShimError("InvalidArgument", `stdout ${paths.stdout} cannot be run: ${error.message}`, { cause: error }),
      );
    });
  });
  failed.catch(() => {});
  const exited = new Promise<void>((resolve) => {
    child.once("error", () => resolve());
    child.once("exit", () => resolve());
  });
  const ready = finished(readiness.resume(), { error: false, writable: false });
  return {
    stdout,
    stderr,
    ready: async (signal) => {
      if (!(await settlesWithin(abortable(Promise.race([ready, failed]), signal), readyMilliseconds, clock))) {
        throw new ShimError(
          "DeadlineExceeded",
          `stdout ${paths.stdout} was not ready in ${readyMilliseconds} ms; it closes descriptor 5 when it is`,
        );
      }
      await abortable(Promise.race([ready, failed]), signal);
    },
    close: async () => {
      for (const stream of [stdout, stderr]) await endStream(stream);
      readiness.destroy();
      void settlesWithin(exited, endMilliseconds, clock).then((ended) => {
        if (!ended) child.kill("SIGKILL");
      });
    },
  };
}

/** Writes what is buffered and closes; a stream that failed or is closed already counts as ended. */
export async function endStream(stream: Writable): Promise<void> {
  if (!stream.writableEnded && !stream.destroyed) stream.end();
  await finished(stream, { readable: false }).catch(() => {});
  stream.destroy();
}
