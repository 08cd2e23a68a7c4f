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

describe("the patience with a guest and its host", () => {
  describe.each([
    ["guest", "silent"],
    ["host", "host silent"],
  ] as const)("with the %s as the one that is slow", (who, silent) => {
    it("ends when all else is answered at once and the time is over", async () => {
      const { given, watching } = watch(() => 0, who);
      await clock.advance(999);
      expect(given.up).toBeUndefined();
      await clock.advance(1);
      await watching;
      expect(given.up).toEqual(["worked", 1_000]);
    });

    it("ends when it has said nothing at all, however often it could", async () => {
      const { given, asked, watching } = watch(() => Number.POSITIVE_INFINITY, who);
      await clock.advance(2_999);
      expect([given.up, asked]).toEqual([undefined, [100]]);
      await clock.advance(1);
      await watching;
      expect(given.up).toEqual([silent, 3_000]);
    });

    it("goes on while it is slow in everything, and asks it one question at a time", async () => {
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

  it("ends when one that was slow falls silent", async () => {
    const answers = [2_000, 2_000, Number.POSITIVE_INFINITY];
    const { given, watching } = watch(() => answers.shift() ?? 0);
    await clock.advance(10_000);
    await watching;
    expect(given.up?.[0]).toBe("silent");
    expect(given.up?.[1]).toBeGreaterThanOrEqual(4_000 + 3_000);
  });

  it("ends in any case where it is limited, but for the time in which its VM is being ended", async () => {
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

  it("goes on while its VM is being ended, and has its time when that has failed", async () => {
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

  it("starts anew whenever something else of the kind is done", async () => {
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

  it("gives a host a bound of its own, before which a guest that is silent beside it is not given up", async () => {
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

  it("does not count a guest's silence in the time in which the host is late with its own answer", async () => {
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

  it("takes no question that was given up for an answer", async () => {
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

  it("asks one question for all who watch the same sandbox", async () => {
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

  it("drops a question with the last who waits for its answer, and asks those who come later another", async () => {
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

  it("takes a refusal for an answer", async () => {
    const refusing = watchSandbox(
      { ping: () => Promise.reject(new Error("it has ended")) },
      bounds,
      clock,
      stop.signal,
    );
    await clock.advance(1_000);
    expect(await refusing).toBe("worked");
  });

  it("ends with whoever waits, and drops its question", async () => {
    const { watching, asked } = watch(() => Number.POSITIVE_INFINITY);
    await clock.advance(500);
    stop.abort(new Error("done"));
    await expect(watching).rejects.toThrow("done");
    expect(asked).toHaveLength(1);
  });
});
