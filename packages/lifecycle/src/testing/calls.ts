/**
 * Faults of one call across a boundary:
 * - `fail`: the call is refused, and nothing is done;
 * - `lose`: the call is done, but its answer is lost, so the caller sees a failure;
 * - `hang`: nothing is done, and no answer comes until the caller aborts;
 * - `hangDone`: the call is done, and no answer comes until the caller aborts;
 * - `silent`, `silentDone`: the same, but no caller aborts: only the time bound of the call ends the wait.
 */
export type Fault = "fail" | "lose" | "hang" | "hangDone" | "silent" | "silentDone";

/** A call across a boundary as `ScriptedCalls` records it: what was called, and about which object. */
export interface Call {
  readonly name: string;
  readonly detail: string;
}

/** An error with a code of `errorCodes`, as hosts and guests throw them. */
export function scriptedError(code: string, message: string): Error {
  return Object.assign(new Error(message), { code });
}

/** The calls to all fakes of one scenario, numbered from 0, and their faults. */
export class ScriptedCalls {
  readonly calls: Call[] = [];
  readonly #hanging = new Set<() => void>();
  readonly #faults: ReadonlyMap<number, Fault>;
  readonly #onHang: () => void;
  readonly #bound: ((call: Call, settled: AbortSignal) => Promise<never>) | undefined;

  /**
   * `onHang` is called when a call begins to hang, so that a test can abort it without waiting. `bound` rejects when a
   * silent call has lasted too long; absent where the caller of the fake has a bound itself.
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

  /** The number of hanging calls. */
  get hanging(): number {
    return this.#hanging.size;
  }

  /**
   * Answers the calls that still hang, whose callers could not abort them and no longer wait: with the result if the
   * call was done, else with a failure.
   */
  answerLate(): void {
    for (const answer of this.#hanging) answer();
  }

  async run<T>(name: string, detail: string, signal: AbortSignal | undefined, effect: () => T): Promise<T> {
    const call = { name, detail };
    const number = this.calls.push(call) - 1;
    // As with a real host, no call finishes at once, so that operations can interleave.
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
