import { closeSync, constants, fstatSync, openSync, writeSync } from "node:fs";
import { posix } from "node:path";
import { GuestFault } from "@uvm-shim/gcs-bridge";
import { withFolderInRoot } from "../container/path-in-root.ts";

export interface OutputCopyPlace {
  /** A folder of the guest. */
  readonly folder: string;
  /** Path of the file in it. */
  readonly file: string;
}

/** A file to which what a process writes is appended, until each stream that writes to it has ended. */
export class OutputCopy {
  readonly #descriptor: number;
  #writers = 0;
  #isOpen = true;

  /** Throws a GuestFault for what is no regular file. */
  constructor(place: OutputCopyPlace) {
    this.#descriptor = openRegular(place);
  }

  /** Takes one stream's data, up to its end. */
  follow(source: NodeJS.ReadableStream): void {
    this.#writers++;
    source.on("data", (chunk: Buffer) => this.#write(chunk));
    source.on("close", () => {
      this.#writers--;
      if (this.#writers === 0) this.close();
    });
  }

  /** Repeatable. */
  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    closeSync(this.#descriptor);
  }

  #write(chunk: Buffer): void {
    if (!this.#isOpen) return;
    try {
      for (let written = 0; written < chunk.length; ) written += writeSync(this.#descriptor, chunk, written);
    } catch {
      // A folder that is full must not end the process whose output it is.
      this.close();
    }
  }
}

/**
 * What is at its place, and on the way there, may be a container's, which may write to the folder: a link would lead
 * elsewhere, and the whole guest would wait for somebody to read a FIFO.
 */
function openRegular({ folder, file }: OutputCopyPlace): number {
  const path = `${folder}/${file}`;
  const flags =
    constants.O_WRONLY | constants.O_CREAT | constants.O_APPEND | constants.O_NOFOLLOW | constants.O_NONBLOCK;
  let descriptor: number;
  try {
    descriptor = withFolderInRoot(folder, posix.dirname(file), (parent) =>
      openSync(`${parent}/${posix.basename(file)}`, flags, 0o644),
    );
  } catch (cause) {
    // Without the path through a descriptor.
    throw refused(path, (cause as Error).message.replace(/, open '.*'$/, ""), cause);
  }
  if (fstatSync(descriptor).isFile()) return descriptor;
  closeSync(descriptor);
  throw refused(path, "it is not a regular file, expected one");
}

function refused(path: string, why: string, cause?: unknown): GuestFault {
  return new GuestFault("E_INVALIDARG", `the copy of the output cannot be written to ${path}: ${why}`, { cause });
}
