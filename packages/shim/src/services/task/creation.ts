import { ShimError } from "../../errors.ts";

/**
 * A creation in progress. A deletion cancels it and waits until it is undone: the client that requested the creation may
 * have left, and no one else knows when the undo is complete.
 */
export class Creation {
  /** Aborts when the caller gives up and on `cancel`. */
  readonly signal: AbortSignal;
  readonly #operation: string;
  readonly #cancelled = new AbortController();
  readonly #settled = Promise.withResolvers<void>();

  /** `operation` includes its object: create task c1. */
  constructor(operation: string, signal?: AbortSignal) {
    this.#operation = operation;
    this.signal = signal === undefined ? this.#cancelled.signal : AbortSignal.any([signal, this.#cancelled.signal]);
  }

  async run<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    try {
      return await work(this.signal);
    } finally {
      this.#settled.resolve();
    }
  }

  /** Resolves when the work has ended: usually undone, but a creation that was about to succeed may succeed. */
  cancel(): Promise<void> {
    this.#cancelled.abort(new ShimError("Cancelled", `${this.#operation}: cancelled: it is being stopped or deleted`));
    return this.#settled.promise;
  }
}
