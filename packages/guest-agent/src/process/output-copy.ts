import { closeSync, constants, fstatSync, openSync, writeSync } from "node:fs";
import { posix } from "node:path";
import { GuestFault } from "@uvm-shim/gcs-bridge";
import { withFolderInRoot } from "../container/path-in-root.ts";

/** Where the copy of an output goes. */
export interface OutputCopyPlace {
  /** A folder of the guest. */
  readonly folder: string;
  /** Path in the folder. */
  readonly file: string;
}

/** A file that receives a copy of a process's output, until all of its streams have ended. */
export class OutputCopy {
  readonly #descriptor: number;
  #writers = 0;
  #isOpen = true;

  /** Throws a GuestFault unless the file is regular. */
  constructor(place: OutputCopyPlace) {
    this.#descriptor = openRegular(place);
  }

  /** Copies one stream until it ends. */
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
      // A full file system must not affect the process.
      this.close();
    }
  }
}

/**
 * A container may write to the folder, so the path may contain its files: a link would lead elsewhere, and opening a FIFO
 * would block the whole guest.
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
    // Omits the path through the descriptor.
    throw refused(path, (cause as Error).message.replace(/, open '.*'$/, ""), cause);
  }
  if (fstatSync(descriptor).isFile()) return descriptor;
  closeSync(descriptor);
  throw refused(path, "expected a regular file");
}

function refused(path: string, why: string, cause?: unknown): GuestFault {
  return new GuestFault("E_INVALIDARG", `cannot copy the output to ${path}: ${why}`, { cause });
}
