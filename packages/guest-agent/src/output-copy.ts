import { closeSync, constants, openSync, writeSync } from "node:fs";

/** A file to which what a process writes is appended, until each stream that writes to it has ended. */
export class OutputCopy {
  readonly #descriptor: number;
  #writers = 0;
  #isOpen = true;

  constructor(path: string) {
    // A link at its place may be a container's, which may write to the folder.
    const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_APPEND | constants.O_NOFOLLOW;
    this.#descriptor = openSync(path, flags, 0o644);
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
