import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ManualClock } from "../testing/manual-clock.ts";
import { abortable, acquireOrRelease } from "./abortable.ts";
import { settlesWithin, withDeadline } from "./deadline.ts";

const turn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));

describe("withDeadline", () => {
  it("aborts with a TimeoutError that names the time, or with the given error", async () => {
    const clock = new ManualClock();
    const late = withDeadline((until) => abortable(new Promise(() => {}), until), { clock, milliseconds: 20 });
    const named = withDeadline((until) => abortable(new Promise(() => {}), until), {
      ...{ clock, milliseconds: 20 },
      error: () => new Error("the pod took too long"),
    });
    const outcomes = Promise.allSettled([late, named]);
    await clock.advance(20);
    expect(await outcomes).toMatchObject([
      { reason: { name: "TimeoutError", message: "not done within 20 ms" } },
      { reason: { message: "the pod took too long" } },
    ]);
  });

  it("settles as the work does, in every order of its end, the caller's abort and the deadline", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.shuffledSubarray(["settle", "abort", "expire"] as const),
        fc.constantFrom("value", "error"),
        fc.boolean(),
        async (order, settlesWith, heeds) => {
          const clock = new ManualClock();
          const caller = new AbortController();
          const arriving = Promise.withResolvers<string>();
          const outcomes: string[] = [];
          const released: string[] = [];
          withDeadline(
            (until) =>
              heeds
                ? acquireOrRelease(arriving.promise, until, async (late) => void released.push(late))
                : arriving.promise,
            { clock, milliseconds: 10, signal: caller.signal, error: () => new Error("expire") },
          ).then(
            (value) => outcomes.push(value),
            (error: Error) => outcomes.push(error.message),
          );
          for (const step of order) {
            if (step === "abort") caller.abort(new Error("abort"));
            else if (step === "expire") await clock.advance(10);
            else if (settlesWith === "value") arriving.resolve("value");
            else arriving.reject(new Error("error"));
            await turn();
          }
          const first = heeds ? order[0] : order.find((step) => step === "settle");
          expect(outcomes).toEqual(first === undefined ? [] : [first === "settle" ? settlesWith : first]);
          const arrives = order.includes("settle") && settlesWith === "value";
          expect([...outcomes.filter((outcome) => outcome === "value"), ...released]).toEqual(arrives ? ["value"] : []);
          // A work that is over leaves no timer behind; one that goes on has its deadline before it, unless it passed.
          expect(clock.sleepers).toBe(outcomes.length > 0 || order.includes("expire") ? 0 : 1);
        },
      ),
    );
  });

  it("clears its timer when the work throws synchronously", async () => {
    const clock = new ManualClock();
    const thrown = withDeadline(
      () => {
        throw new Error("at once");
      },
      { clock, milliseconds: 10 },
    );
    await expect(thrown).rejects.toThrow("at once");
    expect(clock.sleepers).toBe(0);
  });
});

describe("settlesWithin", () => {
  it.each(["resolves", "rejects"] as const)("reports that a promise settled in time when it %s", async (how) => {
    const clock = new ManualClock();
    const promise = how === "resolves" ? Promise.resolve() : Promise.reject(new Error("failed"));
    expect(await settlesWithin(promise, 10, clock)).toBe(true);
    expect(clock.sleepers).toBe(0);
  });

  it("reports that a promise did not settle in time, and ignores its later failure", async () => {
    const clock = new ManualClock();
    const { promise, reject } = Promise.withResolvers<void>();
    const answer = settlesWithin(promise, 10, clock);
    await clock.advance(10);
    expect(await answer).toBe(false);
    reject(new Error("late"));
    await turn();
    expect(clock.sleepers).toBe(0);
  });
});
