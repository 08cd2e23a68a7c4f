import { ManualClock } from "@uvm-shim/lifecycle/testing";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { watchedByMany, watchSandbox } from "./sandbox-liveness.ts";

let isEnding = false;
const bounds = { worked: 1_000, silent: 3_000, isEnding: () => isEnding };

let clock: ManualClock;
let stop: AbortController;
beforeEach(() => {
  clock = new ManualClock();
  stop = new AbortController();
  isEnding = false;
});
afterEach(() => {
  expect(clock.sleepers).toBe(0);
});

/** Watches a sandbox that answers each ping after a delay; returns when and why the watch ended. */
function watch(answerMilliseconds: () => number, who: "guest" | "host" = "guest") {
  const began = clock.now().getTime();
  const asked: number[] = [];
  const slow = async (signal?: AbortSignal): Promise<void> => {
    asked.push(clock.now().getTime() - began);
    const milliseconds = answerMilliseconds();
    if (milliseconds === 0) return;
    await new Promise<void>((resolve, reject) => {
      signal?.addEventListener("abort", () => reject(signal.reason));
      if (Number.isFinite(milliseconds)) void clock.delay(milliseconds, signal).then(resolve, () => {});
    });
  };
  const sandbox = who === "guest" ? { ping: slow } : { ping: async () => {}, pingHost: slow };
  const given: { up?: [string, number] } = {};
  const watching = watchSandbox(sandbox, bounds, clock, stop.signal).then((why) => {
    given.up = [why, clock.now().getTime() - began];
  });
  return { given, asked, watching };
}

describe("the watch over a guest and its host", () => {
  describe.each([
    ["guest", "silent"],
    ["host", "host silent"],
  ] as const)("with the %s as the one that is slow", (who, silent) => {
    it("ends when everything else is answered at once and the time is over", async () => {
      const { given, watching } = watch(() => 0, who);
      await clock.advance(999);
      expect(given.up).toBeUndefined();
      await clock.advance(1);
      await watching;
      expect(given.up).toEqual(["worked", 1_000]);
    });

    it("ends when it has not answered at all", async () => {
      const { given, asked, watching } = watch(() => Number.POSITIVE_INFINITY, who);
      await clock.advance(2_999);
      expect([given.up, asked]).toEqual([undefined, [100]]);
      await clock.advance(1);
      await watching;
      expect(given.up).toEqual([silent, 3_000]);
    });

    it("continues while everything is slow, with one ping at a time", async () => {
      let answer = 2_500;
      const { given, asked, watching } = watch(() => answer, who);
      await clock.advance(20_000);
      expect(given.up).toBeUndefined();
      expect(asked.length).toBeLessThanOrEqual(8);
      answer = 0;
      await clock.advance(20_000);
      await watching;
      expect(given.up?.[0]).toBe("worked");
    });
  });

  it("ends when a slow guest stops answering", async () => {
    const answers = [2_000, 2_000, Number.POSITIVE_INFINITY];
    const { given, watching } = watch(() => answers.shift() ?? 0);
    await clock.advance(10_000);
    await watching;
    expect(given.up?.[0]).toBe("silent");
    expect(given.up?.[1]).toBeGreaterThanOrEqual(4_000 + 3_000);
  });

  it("ends at its limit in any case, not counting the time in which the VM is being ended", async () => {
    const began = clock.now().getTime();
    const slow = { ping: (signal?: AbortSignal) => clock.delay(2_900, signal) };
    const watching = watchSandbox(slow, { ...bounds, longest: 20_000 }, clock, stop.signal).then((why) => [
      why,
      clock.now().getTime() - began,
    ]);
    await clock.advance(1_000);
    isEnding = true;
    await clock.advance(5_000);
    isEnding = false;
    await clock.advance(60_000);
    expect(await watching).toEqual(["worked", 25_000]);
  });

  it("continues while the VM is being ended, and gets its time when that has failed", async () => {
    const { given, watching } = watch(() => Number.POSITIVE_INFINITY);
    await clock.advance(500);
    isEnding = true;
    await clock.advance(60_000);
    expect(given.up).toBeUndefined();
    isEnding = false;
    await clock.advance(2_500);
    await watching;
    expect(given.up).toEqual(["silent", 63_000]);
  });

  it("starts anew whenever another operation of the same kind completes", async () => {
    const began = clock.now().getTime();
    const isEnding = () => false;
    // Other work completes every 700 ms until 7000 ms.
    const progress = () => Math.min(10, Math.floor((clock.now().getTime() - began) / 700));
    const ping = async () => {};
    const watching = watchSandbox({ ping }, { ...bounds, isEnding, progress }, clock, stop.signal).then(
      () => clock.now().getTime() - began,
    );
    await clock.advance(20_000);
    expect(await watching).toBe(8_000);
  });

  it("gives the host its own bound, before which a silent guest is not given up", async () => {
    const never = (): Promise<never> => new Promise(() => {});
    const began = clock.now().getTime();
    const watching = watchSandbox(
      { ping: never, pingHost: never },
      { ...bounds, hostSilent: 7_000 },
      clock,
      stop.signal,
    );
    await clock.advance(7_000);
    expect([await watching, clock.now().getTime() - began]).toEqual(["host silent", 7_000]);
  });

  it("does not count a guest's silence while the host itself is late to answer", async () => {
    const began = clock.now().getTime();
    const isHostSlow = (): boolean => clock.now().getTime() - began < 5_000;
    const pingHost = (signal?: AbortSignal): Promise<void> =>
      isHostSlow() ? clock.delay(2_000, signal) : Promise.resolve();
    const ping = (): Promise<never> => new Promise(() => {});
    const watching = watchSandbox({ ping, pingHost }, bounds, clock, stop.signal).then(
      (why) => [why, clock.now().getTime() - began] as const,
    );
    await clock.advance(20_000);
    const [why, after] = await watching;
    expect(why).toBe("silent");
    expect(after).toBeGreaterThan(7_000);
  });

  it("does not take an abandoned ping for an answer", async () => {
    const ping = async (): Promise<void> => {
      await clock.delay(500);
      throw Object.assign(new Error("not answered within 500 ms"), { code: "DeadlineExceeded" });
    };
    const began = clock.now().getTime();
    const watching = watchSandbox({ ping }, bounds, clock, stop.signal);
    await clock.advance(3_500);
    expect(await watching).toBe("silent");
    expect(clock.now().getTime() - began).toBe(3_500);
  });

  it("shares one ping among all watchers of a sandbox", async () => {
    let asked = 0;
    const answers: (() => void)[] = [];
    const ask = (): Promise<void> => {
      asked += 1;
      return new Promise((resolve) => void answers.push(resolve));
    };
    const sandbox = watchedByMany({ ping: ask, pingHost: async () => {} });
    const leaver = new AbortController();
    const left = watchSandbox(sandbox, bounds, clock, leaver.signal);
    const stayed = [
      watchSandbox(sandbox, bounds, clock, stop.signal),
      watchSandbox(sandbox, bounds, clock, stop.signal),
    ];
    await clock.advance(500);
    expect(asked).toBe(1);
    leaver.abort(new Error("has its answer"));
    await expect(left).rejects.toThrow("has its answer");
    answers[0]?.();
    await clock.advance(200);
    expect(asked).toBe(2);
    await clock.advance(3_000);
    expect(await Promise.all(stayed)).toEqual(["silent", "silent"]);
    expect(asked).toBe(2);
  });

  it("aborts a ping with its last watcher, and sends a new one for later watchers", async () => {
    const asked: AbortSignal[] = [];
    const ask = (signal?: AbortSignal): Promise<void> => {
      asked.push(signal as AbortSignal);
      return asked.length === 1 ? new Promise(() => {}) : Promise.resolve();
    };
    const sandbox = watchedByMany({ ping: ask, pingHost: async () => {} });
    const leaver = new AbortController();
    const left = watchSandbox(sandbox, bounds, clock, leaver.signal);
    await clock.advance(500);
    leaver.abort(new Error("has its answer"));
    await expect(left).rejects.toThrow("has its answer");
    const watching = watchSandbox(sandbox, bounds, clock, stop.signal);
    await clock.advance(1_000);
    expect(await watching).toBe("worked");
    expect(asked[0]?.aborted).toBe(true);
  });

  it("counts a refusal as an answer", async () => {
    const refusing = watchSandbox(
      { ping: () => Promise.reject(new Error("it has ended")) },
      bounds,
      clock,
      stop.signal,
    );
    await clock.advance(1_000);
    expect(await refusing).toBe("worked");
  });

  it("ends with its caller, and aborts its ping", async () => {
    const { watching, asked } = watch(() => Number.POSITIVE_INFINITY);
    await clock.advance(500);
    stop.abort(new Error("done"));
    await expect(watching).rejects.toThrow("done");
    expect(asked).toHaveLength(1);
  });
});
