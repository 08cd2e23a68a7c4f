/** The operations under way in a scenario; `abortAll` aborts them when a call hangs, as callers do that give up. */
export class Callers {
  readonly #active = new Set<AbortController>();
  /** Errors of failed operations. */
  readonly failures: unknown[] = [];

  /** The number of operations under way. */
  get active(): number {
    return this.#active.size;
  }

  /** Runs the operation with its own signal; undefined if it fails, as scripted faults make it. */
  async attempt<T>(operation: (signal: AbortSignal) => Promise<T>): Promise<T | undefined> {
    const abort = new AbortController();
    this.#active.add(abort);
    try {
      return await operation(abort.signal);
    } catch (error) {
      this.failures.push(error);
      return undefined;
    } finally {
      this.#active.delete(abort);
    }
  }

  abortAll(): void {
    for (const abort of this.#active) abort.abort();
  }
}
