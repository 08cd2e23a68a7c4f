import { closeSync, constants, mkdtempSync, openSync, rmSync } from "node:fs";
import { open } from "node:fs/promises";
import net from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import type { Readable, Writable } from "node:stream";
import { startProgram } from "@uvm-shim/child-processes";

/** The tool's ends of a program's standard streams, and the names by which the shim opens the others. */
export interface Ends {
  readonly names: { readonly stdin: string; readonly stdout: string; readonly stderr: string };
  /** The writing end of standard input, once the shim has opened the reading end; undefined if there is none. */
  readonly stdin: Promise<Writable> | undefined;
  readonly stdout: Readable;
  readonly stderr: Readable | undefined;
  /** Lets the outputs end after what has been written to them: the program has. */
  finish(): void;
  /** Gives up what has not ended, and removes what is on disk. */
  close(): void;
}

export interface WantedStreams {
  readonly input: boolean;
  /** A terminal has one output. */
  readonly terminal: boolean;
}

/** A service's /tmp may be its own; /run is one for all. */
const parent = process.getuid?.() === 0 ? "/run" : tmpdir();

/** FIFOs in a folder that only this user may enter. */
export async function makeFifos({ input, terminal }: WantedStreams): Promise<Ends> {
  const folder = mkdtempSync(path.join(parent, "uvm-diag-"));
  const close = (): void => rmSync(folder, { recursive: true, force: true });
  try {
    const name = (stream: string, wanted: boolean): string => (wanted ? path.join(folder, stream) : "");
    const names = { stdin: name("stdin", input), stdout: name("stdout", true), stderr: name("stderr", !terminal) };
    await makeAll(Object.values(names).filter((each) => each !== ""));
    const outputs = [names.stdout, names.stderr].map((each) => (each === "" ? undefined : openOutput(each)));
    const [stdout, stderr] = outputs;
    if (stdout === undefined) throw new Error("there is no standard output");
    const stdin = input ? openInput(names.stdin) : undefined;
    return {
      names,
      stdin,
      stdout: stdout.reader,
      stderr: stderr?.reader,
      finish: () => {
        for (const output of outputs) output?.keeper.destroy();
        if (stdin !== undefined) letOpen(names.stdin, stdin);
      },
      close: () => {
        // A shim whose program has not ended yet still holds the other ends.
        for (const output of outputs) output?.reader.destroy();
        close();
      },
    };
  } catch (error) {
    close();
    throw error;
  }
}

/** A shim that failed has not opened its end, for which ours still waits, or will wait. */
function letOpen(file: string, opened: Promise<unknown>): void {
  const otherEnd = openSync(file, constants.O_RDONLY | constants.O_NONBLOCK);
  void opened.catch(() => {}).finally(() => closeSync(otherEnd));
}

async function makeAll(files: readonly string[]): Promise<void> {
  const child = await startProgram("mkfifo", ["-m", "600", ...files], { stdio: ["ignore", "ignore", "inherit"] });
  const code = await new Promise<number | null>((resolve) => child.once("exit", resolve));
  if (code !== 0) throw new Error(`mkfifo failed with ${code}`);
}

/** A reading end, and a writing end of our own: without one, the reader would see an end before the shim opens it. */
function openOutput(file: string): { readonly reader: net.Socket; readonly keeper: net.Socket } {
  const reader = new net.Socket({ fd: openSync(file, constants.O_RDONLY | constants.O_NONBLOCK), writable: false });
  const keeper = new net.Socket({ fd: openSync(file, constants.O_WRONLY | constants.O_NONBLOCK), readable: false });
  return { reader, keeper };
}

/** Resolves when the other end is open: what is written before nobody would read. */
async function openInput(file: string): Promise<Writable> {
  const handle = await open(file, "w");
  const stream = handle.createWriteStream();
  // The program may end before it has read its input.
  stream.on("error", () => {});
  return stream;
}
