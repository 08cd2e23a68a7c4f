import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { BootTurns } from "./boot-queue.ts";

const longestMs = 1_000;

describe("turns to boot", () => {
  beforeEach(() => void vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] }));
  afterEach(() => void vi.useRealTimers());

  const never = new AbortController().signal;

  /** Takes turns by name, and records their order. */
  function taking(turns: BootTurns) {
    const order: string[] = [];
    const ends = new Map<string, () => void>();
    const take = async (name: string, signal = never): Promise<void> => {
      ends.set(name, await turns.take(signal));
      order.push(name);
    };
    return { order, take, end: (name: string) => ends.get(name)?.() };
  }

  it("are limited in number, and otherwise given in the order of requests", async () => {
    const { order, take, end } = taking(new BootTurns({ most: 2, longestMs }));
    const all = ["a", "b", "c", "d", "e"].map((name) => take(name));
    await vi.advanceTimersByTimeAsync(0);
    expect(order).toEqual(["a", "b"]);
    end("b");
    end("b");
    await vi.advanceTimersByTimeAsync(0);
    expect(order).toEqual(["a", "b", "c"]);
    end("a");
    end("c");
    await Promise.all(all);
    expect(order).toEqual(["a", "b", "c", "d", "e"]);
    for (const name of ["d", "e"]) end(name);
    await Promise.all([take("f"), take("g")]);
    expect(order.slice(5)).toEqual(["f", "g"]);
  });

  it("do not wait for one that hangs", async () => {
    const { order, take } = taking(new BootTurns({ most: 1, longestMs }));
    const all = [take("hangs"), take("next")];
    await vi.advanceTimersByTimeAsync(longestMs - 1);
    expect(order).toEqual(["hangs"]);
    await vi.advanceTimersByTimeAsync(1);
    await Promise.all(all);
    expect(order).toEqual(["hangs", "next"]);
  });

  it("are not kept for a request that was aborted", async () => {
    const { order, take, end } = taking(new BootTurns({ most: 1, longestMs }));
    await take("first");
    const giver = new AbortController();
    const given = expect(take("gives up", giver.signal)).rejects.toThrow("no longer");
    const last = take("last");
    giver.abort(new Error("no longer"));
    await given;
    await expect(take("late", giver.signal)).rejects.toThrow("no longer");
    end("first");
    await last;
    expect(order).toEqual(["first", "last"]);
  });
});
