import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ControllerError } from "../error.ts";
import { abortable } from "./abortable.ts";
import { Interruptions } from "./interruptions.ts";

const reason = new ControllerError("Cancelled", "the VM is being terminated", { operation: "terminate", id: "vm-1" });

describe("Interruptions", () => {
  it("interrupts work in progress, but not finished or later work", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.constantFrom("before", "during", "after")), async (ends) => {
        const interruptions = new Interruptions("vm-1");
        const run = (ended: Promise<void>) =>
          interruptions
            .run("update VM", undefined, (abort) => abortable(ended, abort))
            .then(
              () => "done",
              ({ code }: ControllerError) => code,
            );
        const early = ends.map((when) => ({ when, ...Promise.withResolvers<void>() }));
        const outcomes = early.map(({ promise }) => run(promise));
        for (const { when, resolve } of early) if (when === "before") resolve();
        await new Promise((resolve) => void setImmediate(resolve));
        interruptions.interrupt(reason);
        const later = run(Promise.resolve());
        for (const { when, resolve } of early) if (when === "after") resolve();
        expect(await Promise.all(outcomes)).toEqual(ends.map((when) => (when === "before" ? "done" : "Cancelled")));
        expect(await later).toBe("done");
      }),
    );
  });

  it("aborts with the caller's signal, and names the operation and object in the error", async () => {
    const interruptions = new Interruptions("vm-1");
    const caller = new AbortController();
    const run = interruptions.run("update VM", caller.signal, (abort) => abortable(new Promise(() => {}), abort));
    caller.abort(new DOMException("too late", "TimeoutError"));
    await expect(run).rejects.toMatchObject({ code: "DeadlineExceeded", message: "update VM vm-1: too late" });
  });
});
