import { constants, openSync } from "node:fs";
import { Socket } from "node:net";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { mustRun } from "@uvm-shim/test-support/command";

/** FIFOs that one process after the other writes to, so that thousands of processes need no program of ours each. */
export class ReusedStdio {
  readonly paths: {
    readonly stdin: string;
    readonly stdout: string;
    readonly stderr: string;
    readonly terminal: boolean;
  };

  private constructor(stdout: string, stderr: string) {
    this.paths = { stdin: "", stdout, stderr, terminal: false };
  }

  static async make(directory: string, stem: string): Promise<ReusedStdio> {
    const [stdout, stderr] = ["stdout", "stderr"].map((name) => join(directory, `${stem}-${name}`)) as [string, string];
    await mustRun("mkfifo", ["-m", "600", stdout, stderr]);
    return new ReusedStdio(stdout, stderr);
  }

  /** Opens the reading ends, as a client does before it asks for the process; resolves when both have ended. */
  async read(): Promise<{ readonly stdout: string; readonly stderr: string }> {
    const [stdout, stderr] = await Promise.all([this.paths.stdout, this.paths.stderr].map(readFifo));
    return { stdout: stdout ?? "", stderr: stderr ?? "" };
  }
}

function readFifo(path: string): Promise<string> {
  // The kernel reports the end only once a writer has been there.
  const descriptor = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  return text(new Socket({ fd: descriptor, readable: true, writable: false }));
}
