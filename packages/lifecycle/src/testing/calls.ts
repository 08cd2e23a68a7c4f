/**
 * What can go wrong with one call across a boundary:
 * - `fail`: refused, nothing was done;
 * - `lose`: done, but the answer is lost, so the caller sees a failure;
 * - `hang`: nothing is done and no answer comes until the caller aborts;
 * - `hangDone`: done, and no answer comes until the caller aborts.
 */
export type Fault = "fail" | "lose" | "hang" | "hangDone";

export interface Call {
  readonly name: string;
  readonly detail: string;
}

export function scriptedError(code: string, message: string): Error {
  return Object.assign(new Error(message), { code });
}

/** The calls that fakes of one scenario receive, numbered from 0 across all of them, and the faults they meet. */
export class ScriptedCalls {
  readonly calls: Call[] = [];
  readonly #hanging = new Set<() => void>();
  readonly #faults: ReadonlyMap<number, Fault>;
  readonly #onHang: () => void;

  /** `onHang` is told when a call begins to hang, so that a test can abort it without waiting for time to pass. */
  constructor(faults: ReadonlyMap<number, Fault> = new Map(), onHang: () => void = () => {}) {
    this.#faults = faults;
    this.#onHang = onHang;
  }

  get names(): readonly string[] {
    return this.calls.map((call) => call.name);
  }

  /** How many calls hang at this moment. */
  get hanging(): number {
    return this.#hanging.size;
  }

  /**
   * Answers what still hangs: such calls could not be aborted, and whoever made them no longer waits. What was done is
   * answered with its result, what was not with a failure.
   */
  answerLate(): void {
    for (const answer of this.#hanging) answer();
  }

  async run<T>(name: string, detail: string, signal: AbortSignal | undefined, effect: () => T): Promise<T> {
    const number = this.calls.push({ name, detail }) - 1;
    // Calls of a real host never finish at once; neither do these, so that operations can meet in between.
    await Promise.resolve();
    signal?.throwIfAborted();
    const fault = this.#faults.get(number);
    switch (fault) {
      case undefined:
        return effect();
      case "fail":
        throw scriptedError("Unavailable", `${name} ${detail} failed as scripted`);
      case "lose":
        effect();
        throw scriptedError("Unavailable", `${name} ${detail} lost its answer as scripted`);
      case "hang":
        return this.#hang(signal, () => {
          throw scriptedError("Unavailable", `${name} ${detail} failed late as scripted`);
        });
      case "hangDone": {
        const result = effect();
        return this.#hang(signal, () => result);
      }
    }
  }

  async #hang<T>(signal: AbortSignal | undefined, late: () => T): Promise<T> {
    const answered = Promise.withResolvers<void>();
    const onAbort = (): void => answered.reject(signal?.reason);
    signal?.addEventListener("abort", onAbort, { once: true });
    this.#hanging.add(answered.resolve);
    this.#onHang();
    try {
      await answered.promise;
      return late();
    } finally {
      this.#hanging.delete(answered.resolve);
      signal?.removeEventListener("abort", onAbort);
    }
  }
}
