import type { Duplex } from "node:stream";

/** Streams that are closed together with their owner. */
export class OpenStreams {
  readonly #streams = new Set<Duplex>();

  add(stream: Duplex): Duplex {
    // An error before the user has added a listener must not end the process.
    stream.on("error", () => {});
    this.#streams.add(stream);
    stream.once("close", () => this.#streams.delete(stream));
    return stream;
  }

  /** Resolves when all streams have closed. */
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
