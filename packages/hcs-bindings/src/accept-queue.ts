import { AsyncLocalStorage } from "node:async_hooks";
import type { Duplex } from "node:stream";
import { abortedError, HostError } from "./host-error.ts";

/** Limit of connections that wait for an accept. */
export const backlog = 128;

interface Waiter {
  readonly resolve: (stream: Duplex) => void;
  readonly reject: (error: unknown) => void;
}

/** Pairs the connections that arrive at a listener with the callers that accept them. The listeners of all drivers use it. */
export class AcceptQueue {
  readonly #id: string;
  /** Runs work in the context in which the listener was made. */
  readonly #inContext = AsyncLocalStorage.snapshot();
  readonly #arrived: Duplex[] = [];
  readonly #waiters = new Set<Waiter>();
  #closed = false;

  /** `id` names the listener in errors. */
  constructor(id: string) {
    this.#id = id;
  }

  /** The next stream. Rejects with Cancelled when the queue is closed or the signal aborts. */
  accept(signal?: AbortSignal): Promise<Duplex> {
    const subject = { operation: "accept on hvsocket", id: this.#id };
    if (signal?.aborted === true) return Promise.reject(abortedError(signal, "cancelled", subject));
    const arrived = this.#arrived.shift();
    if (arrived !== undefined) return Promise.resolve(arrived);
    if (this.#closed) return Promise.reject(this.#closedError());
    return new Promise((resolve, reject) => {
      const settle = (): void => {
        this.#waiters.delete(waiter);
        signal?.removeEventListener("abort", onAbort);
      };
      const waiter: Waiter = {
        resolve: (stream) => {
          settle();
          resolve(stream);
        },
        reject: (error) => {
          settle();
          reject(error);
        },
      };
      const onAbort = (): void => {
        if (signal !== undefined) waiter.reject(abortedError(signal, "cancelled", subject));
      };
      this.#waiters.add(waiter);
      signal?.addEventListener("abort", onAbort, { once: true });
    });
  }

  arrive(stream: Duplex): void {
    this.#keepContext(stream);
    // An error before the user has added a listener must not end the process.
    stream.on("error", () => {});
    const [waiter] = this.#waiters;
    if (waiter !== undefined) waiter.resolve(stream);
    else if (this.#closed || this.#arrived.length >= backlog) stream.destroy();
    else this.#arrived.push(stream);
  }

  /** Node tells the listeners of an accepted stream outside of all contexts: nobody would know whose work they do. */
  #keepContext(stream: Duplex): void {
    const emit = stream.emit.bind(stream) as (...event: unknown[]) => boolean;
    stream.emit = ((...event: unknown[]) => this.#inContext(emit, ...event)) as Duplex["emit"];
  }

  /** Accepted streams stay open. Idempotent. */
  close(): void {
    this.#closed = true;
    for (const waiter of this.#waiters) waiter.reject(this.#closedError());
    for (const stream of this.#arrived.splice(0)) stream.destroy();
  }

  #closedError(): HostError {
    const subject = { operation: "accept on hvsocket", id: this.#id };
    return new HostError("Cancelled", "the listener was closed", { ...subject, gone: true });
  }
}
