import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { OperationQueue } from "./queue.ts";

describe("OperationQueue", () => {
  it("runs one operation at a time, in order, even if some fail", async () => {
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
