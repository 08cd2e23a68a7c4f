import { describe, expect, it } from "vitest";
import { Callers, type Fault, faultCases, ScriptedCalls, scriptedError, silentCases } from "./index.ts";

describe("ScriptedCalls", () => {
  const run = (fault?: Fault, signal?: AbortSignal, onHang?: () => void) => {
    let done = false;
    const calls = new ScriptedCalls(fault === undefined ? new Map() : new Map([[0, fault]]), onHang);
    const result = calls.run("attach", "0:1", signal, () => {
      done = true;
      return "answer";
    });
    return { calls, result, isDone: () => done };
  };

  it("records the call and returns its result", async () => {
    const { calls, result, isDone } = run();
    expect(await result).toBe("answer");
    expect(isDone()).toBe(true);
    expect(calls.calls).toEqual([{ name: "attach", detail: "0:1" }]);
    expect(calls.names).toEqual(["attach"]);
  });

  it.each([
    ["fail", false],
    ["lose", true],
  ] as const)("%s", async (fault, done) => {
    const { result, isDone } = run(fault);
    await expect(result).rejects.toMatchObject({ code: "Unavailable" });
    expect(isDone()).toBe(done);
  });

  it.each([
    ["hang", false],
    ["hangDone", true],
  ] as const)("%s until aborted", async (fault, done) => {
    const abort = new AbortController();
    const { result, isDone } = run(fault, abort.signal, () => abort.abort());
    await expect(result).rejects.toMatchObject({ name: "AbortError" });
    expect(isDone()).toBe(done);
  });

  it.each([
    ["hang", false],
    ["hangDone", true],
  ] as const)("%s without a signal until it is answered late", async (fault, done) => {
    const { calls, result, isDone } = run(fault);
    await Promise.resolve();
    expect(calls.hanging).toBe(1);
    calls.answerLate();
    expect(await result.catch(({ code }) => code)).toBe(done ? "answer" : "Unavailable");
    expect(isDone()).toBe(done);
    expect(calls.hanging).toBe(0);
  });

  it.each([
    ["silent", false],
    ["silentDone", true],
  ] as const)("%s until its bound, without reporting that it hangs", async (fault, done) => {
    let isDone = false;
    let isTold = false;
    const bound = Promise.withResolvers<never>();
    const bounded: string[] = [];
    const calls = new ScriptedCalls(
      new Map([[0, fault]]),
      () => {
        isTold = true;
      },
      ({ name }, settled) => {
        bounded.push(name);
        settled.addEventListener("abort", () => bounded.push("settled"));
        return bound.promise;
      },
    );
    const result = calls.run("mount", "", undefined, () => {
      isDone = true;
    });
    await Promise.resolve();
    expect([calls.hanging, isTold, isDone]).toEqual([1, false, done]);
    bound.reject(scriptedError("DeadlineExceeded", "no answer"));
    await expect(result).rejects.toMatchObject({ code: "DeadlineExceeded" });
    expect(calls.hanging).toBe(0);
    expect(bounded).toEqual(["mount", "settled"]);
  });

  it("lists every fault at every call", () => {
    expect(faultCases(2)).toHaveLength(8);
    expect(faultCases(0)).toEqual([]);
    expect(silentCases([3])).toEqual([
      { call: 3, fault: "silent" },
      { call: 3, fault: "silentDone" },
    ]);
  });
});

describe("Callers", () => {
  it("aborts calls in progress, and records failures as failures", async () => {
    const callers = new Callers();
    const calls = new ScriptedCalls(new Map([[0, "hang"]]), () => callers.abortAll());
    const attempt = () => callers.attempt((signal) => calls.run("attach", "", signal, () => "answer"));
    const first = attempt();
    expect(callers.active).toBe(1);
    expect(await first).toBeUndefined();
    expect(await attempt()).toBe("answer");
    expect(callers.active).toBe(0);
    expect(callers.failures).toMatchObject([{ name: "AbortError" }]);
  });
});
