import type { Readable } from "node:stream";

/** The last bytes of an output. */
export class Tail {
  readonly #most: number;
  #bytes = Buffer.alloc(0);

  constructor(most: number) {
    this.#most = most;
  }

  /** Without the rest of a character whose beginning was dropped. */
  get text(): string {
    return this.#bytes.toString().replace(/^\uFFFD+/, "");
  }

  /** Keeps the end of what comes, and reads on in any case, so that nobody waits for a reader. */
  follow(stream: Readable): void {
    stream.on("error", () => {});
    stream.on("data", (chunk: Buffer) => {
      const kept = chunk.subarray(-this.#most);
      this.#bytes = Buffer.concat([this.#bytes.subarray(-(this.#most - kept.length) || this.#bytes.length), kept]);
    });
  }
}
