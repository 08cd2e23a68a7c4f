import type { Duplex } from "node:stream";
import type { VmListener } from "./types.ts";

/** Connections that a guest may hold open to one port; it needs one, and a second while it reconnects. */
const mostConnections = 8;

/** Serves whatever dials one of the VM's ports, until it is closed. */
export class PortServer {
  readonly #listener: VmListener;
  readonly #closing = new AbortController();
  readonly #open = new Set<Duplex>();
  #idle = Promise.withResolvers<void>();

  constructor(listener: VmListener, serve: (stream: Duplex) => void) {
    this.#listener = listener;
    this.#idle.resolve();
    void this.#acceptAll(serve);
  }

  /** Resolves when no connection is open. */
  get idle(): Promise<void> {
    return this.#idle.promise;
  }

  /** Repeatable. */
  async close(): Promise<void> {
    this.#closing.abort();
    for (const stream of this.#open) stream.destroy();
    await this.#listener.close();
  }

  async #acceptAll(serve: (stream: Duplex) => void): Promise<void> {
    const { signal } = this.#closing;
    try {
      for (;;) {
        const stream = await this.#listener.accept(signal);
        // A guest may break its connections as it likes; `close` follows, which is all that matters here.
        stream.on("error", () => {});
        if (signal.aborted || this.#open.size >= mostConnections) {
          stream.destroy();
          continue;
        }
        if (this.#open.size === 0) this.#idle = Promise.withResolvers();
        this.#open.add(stream);
        stream.once("close", () => {
          this.#open.delete(stream);
          if (this.#open.size === 0) this.#idle.resolve();
        });
        serve(stream);
      }
    } catch {
      // The listener is closed, by `close` or because the VM is gone: there is nothing left to serve.
    }
  }
}
