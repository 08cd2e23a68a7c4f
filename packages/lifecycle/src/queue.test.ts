import fc from "fast-check";
import { describe, expect, it, vi } from "vitest";
import { abortable, OperationQueue } from "./queue.ts";

describe("OperationQueue", () => {
  it("runs one operation at a time, in order, whoever fails", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.boolean(), { maxLength: 12 }), fc.scheduler(), async (failing, scheduler) => {
        const queue = new OperationQueue();
        const order: number[] = [];
        let running = 0;
        const results = failing.map((fails, index) =>
          queue.run(async () => {
            running += 1;
            expect(running).toBe(1);
            await scheduler.schedule(Promise.resolve());
            order.push(index);
            running -= 1;
            if (fails) throw new Error("scripted");
          }),
        );
        const settled = Promise.allSettled(results);
        await scheduler.waitFor(settled);
        expect((await settled).map((result) => result.status === "rejected")).toEqual(failing);
        expect(order).toEqual(failing.map((_, index) => index));
      }),
    );
  });

  it("lets a waiting operation leave when its signal aborts, and keeps the order of the others", async () => {
    const queue = new OperationQueue();
    const first = Promise.withResolvers<void>();
    const abort = new AbortController();
    const order: string[] = [];
    const running = queue.run(() => first.promise);
    const waiting = queue.run(async () => order.push("waiting"), abort.signal);
    const last = queue.run(async () => order.push("last"));
    abort.abort();
    await expect(waiting).rejects.toMatchObject({ name: "AbortError" });
    expect(order).toEqual([]);
    first.resolve();
    await Promise.all([running, last]);
    expect(order).toEqual(["last"]);
  });

  it("does not start an operation whose signal has aborted already", async () => {
    const queue = new OperationQueue();
    let started = false;
    const operation = queue.run(
      async () => {
        started = true;
      },
      AbortSignal.abort(new Error("too late")),
    );
    await expect(operation).rejects.toThrow("too late");
    expect(await queue.run(async () => started)).toBe(false);
  });
});

describe("abortable", () => {
  it("settles as the promise does", async () => {
    const { signal } = new AbortController();
    expect(await abortable(Promise.resolve(1), signal)).toBe(1);
    expect(await abortable(Promise.resolve(2))).toBe(2);
    await expect(abortable(Promise.reject(new Error("x")), signal)).rejects.toThrow("x");
  });

  it("rejects at once when aborted, and the promise's later failure bothers nobody", async () => {
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
  it("leaves one reaction on it, however many wait and give up", async () => {
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

  it("tells all who are left, in their order, and those who come later", async () => {
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
