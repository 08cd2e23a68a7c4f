import { ShimError } from "../../errors.ts";

/**
 * Something that is being made. Who wants it gone cancels that, and waits for what there was of it to be undone: its
 * maker's caller may have given up and left, and nothing else would tell when nothing of it is there any more.
 */
export class Creation {
  /** Aborts for the caller who gives up, and for whoever cancels. */
  readonly signal: AbortSignal;
  readonly #what: string;
  readonly #cancelled = new AbortController();
  readonly #settled = Promise.withResolvers<void>();

  /** `what` is the operation and its object: create task c1. */
  constructor(what: string, signal?: AbortSignal) {
    this.#what = what;
    this.signal = signal === undefined ? this.#cancelled.signal : AbortSignal.any([signal, this.#cancelled.signal]);
  }

  /** Does the work; whoever cancels is told when it has ended, whichever way. */
  async run<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    try {
      return await work(this.signal);
    } finally {
      this.#settled.resolve();
    }
  }

  /** Resolves when the work has ended: as a rule undone, but what was made already may be there all the same. */
  cancel(): Promise<void> {
    this.#cancelled.abort(new ShimError("Cancelled", `${this.#what}: cancelled, since it is to be gone`));
    return this.#settled.promise;
  }
}
