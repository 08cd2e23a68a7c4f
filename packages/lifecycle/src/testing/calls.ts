/**
 * What can go wrong with one call across a boundary:
 * - `fail`: refused, nothing was done;
 * - `lose`: done, but the answer is lost, so the caller sees a failure;
 * - `hang`: nothing is done and no answer comes until the caller aborts;
 * - `hangDone`: done, and no answer comes until the caller aborts;
 * - `silent`, `silentDone`: as these, but nobody gives up: what ends the wait is the bound that such calls have.
 */
export type Fault = "fail" | "lose" | "hang" | "hangDone" | "silent" | "silentDone";

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
  readonly #bound: ((call: Call, settled: AbortSignal) => Promise<never>) | undefined;

  /**
   * `onHang` is told when a call begins to hang, so that a test can abort it without waiting for time to pass. `bound`
   * rejects when a silent call has lasted too long; absent where whoever calls the fake has bounds itself.
   */
  constructor(
    faults: ReadonlyMap<number, Fault> = new Map(),
    onHang: () => void = () => {},
    bound?: (call: Call, settled: AbortSignal) => Promise<never>,
  ) {
    this.#faults = faults;
    this.#onHang = onHang;
    this.#bound = bound;
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
    const call = { name, detail };
    const number = this.calls.push(call) - 1;
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
      case "silent":
        return this.#hang(fault, call, signal, () => {
          throw scriptedError("Unavailable", `${name} ${detail} failed late as scripted`);
        });
      case "hangDone":
      case "silentDone": {
        const result = effect();
        return this.#hang(fault, call, signal, () => result);
      }
    }
  }

  async #hang<T>(fault: Fault, call: Call, signal: AbortSignal | undefined, late: () => T): Promise<T> {
    const answered = Promise.withResolvers<void>();
    const settled = new AbortController();
    const onAbort = (): void => answered.reject(signal?.reason);
    signal?.addEventListener("abort", onAbort, { once: true });
    this.#hanging.add(answered.resolve);
    if (fault === "silent" || fault === "silentDone") this.#bound?.(call, settled.signal).catch(answered.reject);
    else this.#onHang();
    try {
      await answered.promise;
      return late();
    } finally {
      settled.abort();
      this.#hanging.delete(answered.resolve);
      signal?.removeEventListener("abort", onAbort);
    }
  }
}
