import type { Duplex } from "node:stream";
import { abortable } from "@uvm-shim/lifecycle";
import type { VmListener } from "../types.ts";

/** Serves connections to one of the VM's services, a bounded number at a time, until it is closed. */
export class PortServer {
  readonly #listener: VmListener;
  readonly #closing = new AbortController();
  readonly #open = new Set<Duplex>();
  readonly #mostConnections: number;
  #idle = Promise.withResolvers<void>();
  #onClosed = (): void => {};

  constructor(listener: VmListener, serve: (stream: Duplex) => void, mostConnections: number) {
    this.#listener = listener;
    this.#mostConnections = mostConnections;
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

  /** Resolves when another connection may be served. */
  async #untilFree(signal: AbortSignal): Promise<void> {
    if (this.#open.size < this.#mostConnections) return;
    const closed = new Promise<void>((resolve) => {
      this.#onClosed = resolve;
    });
    await abortable(closed, signal);
  }

  async #acceptAll(serve: (stream: Duplex) => void): Promise<void> {
    const { signal } = this.#closing;
    try {
      for (;;) {
        await this.#untilFree(signal);
        const stream = await this.#listener.accept(signal);
        // A guest may break its connections at any time; the `close` event that follows is enough.
        stream.on("error", () => {});
        if (signal.aborted) {
          stream.destroy();
          continue;
        }
        if (this.#open.size === 0) this.#idle = Promise.withResolvers();
        this.#open.add(stream);
        stream.once("close", () => {
          this.#open.delete(stream);
          if (this.#open.size === 0) this.#idle.resolve();
          this.#onClosed();
        });
        serve(stream);
      }
    } catch {
      // The listener was closed by `close`, or the VM is gone: nothing is left to serve.
    }
  }
}
