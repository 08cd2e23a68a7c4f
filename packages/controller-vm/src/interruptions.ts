import { type ControllerError, wrapError } from "@uvm-shim/lifecycle";

/** The operations of one VM that are under way, which its end interrupts. */
export class Interruptions {
  readonly #id: string;
  readonly #active = new Set<AbortController>();

  constructor(id: string) {
    this.#id = id;
  }

  /** Makes all that is under way fail with the reason. */
  interrupt(reason: ControllerError): void {
    for (const abort of this.#active) abort.abort(reason);
  }

  /** Runs the work with a signal that aborts with the caller's, and when it is interrupted. */
  async run<T>(
    operation: string,
    signal: AbortSignal | undefined,
    work: (abort: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const interruption = new AbortController();
    this.#active.add(interruption);
    const abort = signal === undefined ? interruption.signal : AbortSignal.any([signal, interruption.signal]);
    try {
      return await work(abort);
    } catch (error) {
      throw wrapError(error, operation, this.#id);
    } finally {
      this.#active.delete(interruption);
    }
  }
}
