import type { Duplex } from "node:stream";

/** Streams that end at the latest with whom they belong to. */
export class OpenStreams {
  readonly #streams = new Set<Duplex>();

  add(stream: Duplex): Duplex {
    // A stream that fails before its user listens for errors must not end the process.
    stream.on("error", () => {});
    this.#streams.add(stream);
    stream.once("close", () => this.#streams.delete(stream));
    return stream;
  }

  /** Resolves when all have closed. */
  async close(): Promise<void> {
    await Promise.all([...this.#streams].map(closed));
  }
}

function closed(stream: Duplex): Promise<void> {
  return new Promise((resolve) => {
    stream.once("close", resolve);
    stream.destroy();
  });
}
