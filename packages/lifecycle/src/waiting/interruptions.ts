import { type ControllerError, wrapError } from "../error.ts";
import { observe } from "../observation/observation.ts";

/** The operations of one object that are under way, which its end interrupts. */
export class Interruptions {
  readonly #id: string;
  readonly #active = new Set<AbortController>();

  constructor(id: string) {
    this.#id = id;
  }

  /** Aborts the signals of all that is under way, with this reason. What begins later is not affected. */
  interrupt(reason: ControllerError): void {
    for (const abort of this.#active) abort.abort(reason);
  }

  /**
   * Runs the work with a signal that aborts with the caller's, and when it is interrupted. What it throws becomes a
   * ControllerError that names the operation and the object.
   */
  async run<T>(
    operation: string,
    signal: AbortSignal | undefined,
    work: (abort: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const interruption = new AbortController();
    this.#active.add(interruption);
    const abort = signal === undefined ? interruption.signal : AbortSignal.any([signal, interruption.signal]);
    try {
      return await observe({ kind: "phase", name: operation, attributes: { id: this.#id } }, () => work(abort));
    } catch (error) {
      throw wrapError(error, operation, this.#id);
    } finally {
      this.#active.delete(interruption);
    }
  }
}
