/** Operations under way in a scenario; when a call hangs, `abortAll` gives up as impatient callers would. */
export class Callers {
  readonly #active = new Set<AbortController>();
  /** What operations have failed with. */
  readonly failures: unknown[] = [];

  /** How many operations are under way. */
  get active(): number {
    return this.#active.size;
  }

  /** Runs the operation with a signal of its own; undefined when it fails, as a scripted fault makes it. */
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
