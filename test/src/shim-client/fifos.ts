import { type ChildProcess, spawn } from "node:child_process";
import { join } from "node:path";
import type { Readable, Writable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { mustRun } from "@uvm-shim/test-support/command";
import type { ClientStdio } from "./client-stdio.ts";

/**
 * The client's ends of a process's stdio. Programs of their own hold them: opening a FIFO blocks until the shim has
 * opened its end, and that must not occupy one of Node's few threads.
 */
export class Fifos implements ClientStdio {
  readonly stdin: Writable;
  readonly stdout: Readable;
  readonly stderr: Readable;
  readonly paths: ClientStdio["paths"];
  readonly #holders: readonly ChildProcess[];

  private constructor(paths: ClientStdio["paths"]) {
    this.paths = paths;
    const writer = spawn("sh", ["-c", 'exec cat > "$1"', "sh", paths.stdin], { stdio: ["pipe", "ignore", "ignore"] });
    const readers = [paths.stdout, paths.stderr].map((path) =>
      spawn("sh", ["-c", 'exec cat < "$1"', "sh", path === "" ? "/dev/null" : path], {
        stdio: ["ignore", "pipe", "ignore"],
      }),
    );
    this.#holders = [writer, ...readers];
    this.stdin = writer.stdin;
    // The process may end before it has read its input.
    this.stdin.on("error", () => undefined);
    this.stdout = readers[0]?.stdout as Readable;
    this.stderr = readers[1]?.stdout as Readable;
  }

  /** Makes the FIFOs in a directory; a terminal has no standard error of its own. */
  static async make(directory: string, stem: string, terminal: boolean): Promise<Fifos> {
    const [stdin, stdout, stderr] = ["stdin", "stdout", "stderr"].map((name) => join(directory, `${stem}-${name}`)) as [
      string,
      string,
      string,
    ];
    await mustRun("mkfifo", ["-m", "600", stdin, stdout, ...(terminal ? [] : [stderr])]);
    return new Fifos({ stdin, stdout, stderr: terminal ? "" : stderr, terminal });
  }

  async output(): Promise<{ readonly stdout: Buffer; readonly stderr: Buffer }> {
    const [stdout, stderr] = await Promise.all([buffer(this.stdout), buffer(this.stderr)]);
    return { stdout, stderr };
  }

  close(): void {
    for (const holder of this.#holders) holder.kill("SIGKILL");
  }
}
