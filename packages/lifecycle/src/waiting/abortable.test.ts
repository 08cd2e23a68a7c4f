import fc from "fast-check";
import { describe, expect, it, vi } from "vitest";
import { abortable, acquireOrRelease } from "./abortable.ts";

describe("abortable", () => {
  it("settles as the promise does", async () => {
    const { signal } = new AbortController();
    expect(await abortable(Promise.resolve(1), signal)).toBe(1);
    expect(await abortable(Promise.resolve(2))).toBe(2);
    await expect(abortable(Promise.reject(new Error("x")), signal)).rejects.toThrow("x");
  });

  it("rejects at once when aborted, and ignores the promise's later failure", async () => {
    const abort = new AbortController();
    const late = Promise.withResolvers<void>();
    const result = abortable(late.promise, abort.signal);
    abort.abort(new Error("enough"));
    await expect(result).rejects.toThrow("enough");
    await expect(abortable(late.promise, abort.signal)).rejects.toThrow("enough");
    late.reject(new Error("nobody listens"));
    // An unhandled rejection would fail this run; give it the turn in which it would be reported.
    await new Promise((resolve) => setImmediate(resolve));
    await expect(late.promise).rejects.toThrow("nobody listens");
  });
});

describe("waiting for a promise", () => {
  it("leaves a single reaction on it, however many callers wait and give up", async () => {
    const promise = new Promise<string>(() => {});
    const then = vi.spyOn(promise, "then");
    for (let count = 0; count < 100; count++) {
      const caller = new AbortController();
      const waiting = abortable(promise, caller.signal);
      caller.abort(new Error("enough"));
      await expect(waiting).rejects.toThrow("enough");
    }
    expect(then).toHaveBeenCalledTimes(1);
  });

  it("notifies all remaining waiters in order, and later ones too", async () => {
    const { promise, resolve } = Promise.withResolvers<string>();
    const told: string[] = [];
    const wait = (name: string, signal: AbortSignal) =>
      abortable(promise, signal).then(
        (value) => told.push(`${name} ${value}`),
        () => told.push(`${name} left`),
      );
    const leaver = new AbortController();
    const { signal } = new AbortController();
    const waiting = [wait("a", signal), wait("b", leaver.signal), wait("c", signal)];
    leaver.abort();
    resolve("done");
    await Promise.all(waiting);
    await wait("d", signal);
    expect(told).toEqual(["b left", "a done", "c done", "d done"]);
  });
});

/** Steps that a test takes in any order: each at most once, with the microtasks after each done before the next. */
async function inOrder(steps: readonly (() => void)[]): Promise<void> {
  for (const step of steps) {
    step();
    await turn();
  }
}

/** An unhandled rejection is reported by then, and fails the run. */
const turn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));

/** A signal that counts who listens to it. */
function countedSignal() {
  const abort = new AbortController();
  const { signal } = abort;
  const add = signal.addEventListener.bind(signal);
  const remove = signal.removeEventListener.bind(signal);
  const known = new Set<unknown>();
  vi.spyOn(signal, "addEventListener").mockImplementation((type: string, listener: unknown, options: unknown) => {
    known.add(listener);
    add(type as "abort", listener as () => void, options as AddEventListenerOptions);
  });
  vi.spyOn(signal, "removeEventListener").mockImplementation((type: string, listener: unknown) => {
    known.delete(listener);
    remove(type as "abort", listener as () => void);
  });
  return { abort, signal, listeners: () => known.size };
}

const happenings = fc.record({
  order: fc.shuffledSubarray(["settle", "abort"] as const),
  settlesWith: fc.constantFrom("value", "error"),
  isAbortedBefore: fc.boolean(),
  /** Whether all happens in one turn. */
  isAtOnce: fc.boolean(),
  release: fc.constantFrom("resolves", "rejects", "throws"),
});

describe("in every order of settling and aborting", () => {
  const scenario = async (
    happening: typeof happenings extends fc.Arbitrary<infer Value> ? Value : never,
    wait: (promise: Promise<string>, signal: AbortSignal) => Promise<string>,
  ) => {
    const { order, settlesWith, isAbortedBefore, isAtOnce } = happening;
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    const { abort, signal, listeners } = countedSignal();
    if (isAbortedBefore) abort.abort(new Error("enough"));
    const outcomes: string[] = [];
    wait(promise, signal).then(
      (value) => outcomes.push(value),
      (error: Error) => outcomes.push(error.message),
    );
    const steps = order.map((step) => () => {
      if (step === "abort") abort.abort(new Error("enough"));
      else if (settlesWith === "value") resolve("value");
      else reject(new Error("error"));
    });
    if (isAtOnce) for (const step of steps) step();
    else await inOrder(steps);
    await turn();
    return { outcomes, listeners: listeners(), hasAborted: signal.aborted, hasSettled: order.includes("settle") };
  };

  /** What the waiter is to be told; undefined where the order does not decide it. */
  const expected = ({ order, settlesWith, isAbortedBefore, isAtOnce }: Parameters<typeof scenario>[0]) => {
    if (isAbortedBefore) return ["enough"];
    if (order.length === 0) return [];
    if (order[0] === "abort" || order.length === 1) return [order[0] === "abort" ? "enough" : settlesWith];
    return isAtOnce ? undefined : [settlesWith];
  };

  it("abortable settles once, immediately, and leaves no listener", async () => {
    await fc.assert(
      fc.asyncProperty(happenings, async (happening) => {
        const { outcomes, listeners, hasAborted, hasSettled } = await scenario(happening, abortable);
        const answer = expected(happening);
        if (answer === undefined) expect([["enough"], [happening.settlesWith]]).toContainEqual(outcomes);
        else expect(outcomes).toEqual(answer);
        if (hasSettled && !hasAborted) expect(listeners).toBe(0);
      }),
    );
  });

  it("acquireOrRelease either returns what it acquired or releases it, once, and never both", async () => {
    await fc.assert(
      fc.asyncProperty(happenings, async (happening) => {
        const released: string[] = [];
        const { outcomes, listeners, hasAborted, hasSettled } = await scenario(happening, (promise, signal) =>
          acquireOrRelease(promise, signal, (late) => {
            released.push(late);
            if (happening.release === "throws") throw new Error("thrown by the release");
            return happening.release === "rejects" ? Promise.reject(new Error("release failed")) : Promise.resolve();
          }),
        );
        const answer = expected(happening);
        if (answer !== undefined) expect(outcomes).toEqual(answer);
        const arrives = hasSettled && happening.settlesWith === "value";
        const handedOn = outcomes.filter((outcome) => outcome === "value");
        expect([...handedOn, ...released]).toEqual(arrives ? ["value"] : []);
        if (hasSettled && !hasAborted) expect(listeners).toBe(0);
      }),
    );
  });
});
