import { ManualClock } from "@uvm-shim/lifecycle/testing";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ConcurrencyLimit } from "./concurrency-limit.ts";

let clock: ManualClock;
let turns: ConcurrencyLimit;
beforeEach(() => {
  clock = new ManualClock();
  turns = new ConcurrencyLimit({ most: 2, longest: 1_000, clock });
});
afterEach(() => {
  expect(clock.sleepers).toBe(0);
});

/** Named jobs that end when the test says so. */
function works(names: string) {
  const begun: string[] = [];
  const ends = new Map<string, PromiseWithResolvers<string>>();
  const outcomes = [...names].map((name) => {
    const end = Promise.withResolvers<string>();
    ends.set(name, end);
    return turns.run(() => {
      begun.push(name);
      return end.promise;
    });
  });
  const finish = (name: string): void => ends.get(name)?.resolve(name);
  const fail = (name: string): void => ends.get(name)?.reject(new Error(name));
  return { begun, outcomes, finish, fail };
}

describe("ConcurrencyLimit", () => {
  it("runs a limited number of jobs at once, and the others in order of arrival", async () => {
    const { begun, outcomes, finish, fail } = works("abcde");
    await clock.advance(0);
    expect(begun).toEqual(["a", "b"]);
    fail("b");
    await expect(outcomes[1]).rejects.toThrow("b");
    await clock.advance(0);
    expect(begun).toEqual(["a", "b", "c"]);
    for (const name of "acde") finish(name);
    expect(await Promise.all(outcomes.filter((_, index) => index !== 1))).toEqual(["a", "c", "d", "e"]);
    expect(begun).toEqual(["a", "b", "c", "d", "e"]);
  });

  it("ends each turn after its bound, once, while the work continues", async () => {
    const { begun, outcomes, finish } = works("abcde");
    await clock.advance(999);
    expect(begun).toEqual(["a", "b"]);
    await clock.advance(1);
    expect(begun).toEqual(["a", "b", "c", "d"]);
    finish("a");
    expect(await outcomes[0]).toBe("a");
    await clock.advance(0);
    expect(begun).toEqual(["a", "b", "c", "d"]);
    for (const name of "bcde") finish(name);
    await Promise.all(outcomes);
    const later = works("xyz");
    await clock.advance(0);
    expect(later.begun).toEqual(["x", "y"]);
    for (const name of "xyz") later.finish(name);
    await Promise.all(later.outcomes);
  });
});
