import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { WAIT_MS } from "./guest-kind.ts";
import { poll } from "./wait.ts";

/** A program to which a shim writes output, by containerd's contract for `binary://`. */
export interface LoggingProgram {
  readonly path: string;
  /** What it has received by environment and arguments, and what it has read, once it has seen the end of both. */
  written(
    signal: AbortSignal,
  ): Promise<{ readonly received: string; readonly stdout: string; readonly stderr: string }>;
}

export function makeLoggingProgram(directory: string): LoggingProgram {
  mkdirSync(directory);
  const path = join(directory, "logger");
  const script = [
    "#!/bin/sh",
    `cd ${directory}`,
    'echo "$CONTAINER_NAMESPACE $CONTAINER_ID $*" >received',
    "exec 5>&-",
    "cat <&3 >stdout & cat <&4 >stderr; wait; echo >done",
  ];
  writeFileSync(path, script.join("\n"), { mode: 0o755 });
  const read = (name: string): string => readFileSync(join(directory, name), "utf8");
  return {
    path,
    written: async (signal) => {
      const isDone = () => existsSync(join(directory, "done")) || undefined;
      await poll("the logging program to end", isDone, { timeoutMs: WAIT_MS, signal });
      return { received: read("received"), stdout: read("stdout"), stderr: read("stderr") };
    },
  };
}
