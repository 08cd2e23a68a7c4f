import { describe, expect, it } from "vitest";
import { createClock, delay } from "./clock.ts";

/** Sleeps that take longer than asked for, by turns of a list. */
function starved(late: readonly number[]) {
  const steps: number[] = [];
  let elapsed = 0;
  let turns = 0;
  const clock = createClock({
    sleep: async (milliseconds, signal) => {
      if (signal?.aborted) throw new Error("the timer was ended");
      elapsed += milliseconds + (late[steps.length] ?? 0);
      steps.push(milliseconds);
    },
    turn: async () => {
      turns += 1;
    },
  });
  return { clock, steps, elapsed: () => elapsed, turns: () => turns };
}

describe("systemClock's way of waiting", () => {
  it("counts a step that ended late as one that ended in time", async () => {
    const { clock, steps, elapsed } = starved([0, 60_000, 0]);
    await clock.delay(4_000);
    expect(steps).toEqual(Array(8).fill(500));
    expect(elapsed()).toBe(64_000);
  });

  it("handles pending input before a wait ends, even a wait of a single step", async () => {
    const { clock, steps, turns } = starved([]);
    await clock.delay(2);
    expect([steps, turns()]).toEqual([[2], 1]);
    await clock.delay(100);
    expect([steps.slice(1), turns()]).toEqual([[25, 25, 25, 25], 5]);
  });

  it("treats a time beyond a timer's range as very long, not as zero", async () => {
    const { clock, steps } = starved([]);
    // The longest time that a StopSandbox can name.
    await clock.delay((2 ** 32 - 1) * 1_000);
    expect(steps).toEqual(Array(8).fill(2 ** 31 - 1));
  });

  it("does not time out a caller that was answered in the meantime", async () => {
    const stop = new AbortController();
    const clock = createClock({
      sleep: async () => {},
      turn: async () => stop.abort(new Error("answered")),
    });
    await expect(clock.delay(1, stop.signal)).rejects.toThrow("answered");
  });

  it("rejects with the signal's reason", async () => {
    const { clock } = starved([]);
    await expect(clock.delay(1_000, AbortSignal.abort(new Error("given up")))).rejects.toThrow("given up");
  });
});

describe("delay", () => {
  it("ends after its time, or rejects at once with the signal's reason", async () => {
    await expect(delay(0)).resolves.toBeUndefined();
    await expect(delay(60_000, AbortSignal.abort(new Error("over")))).rejects.toThrow("over");
    const stop = new AbortController();
    const waiting = delay(60_000, stop.signal);
    stop.abort(new Error("stopped"));
    await expect(waiting).rejects.toThrow("stopped");
  });
});
