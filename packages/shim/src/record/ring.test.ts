import { describe, expect, it } from "vitest";
import { Ring } from "./ring.ts";

/** A ring with lines `1`, `2`, …, of which it keeps the first two and the last three. */
function ringOf(count: number): Ring {
  const ring = new Ring({ beginning: 2, end: 3 });
  for (let seq = 1; seq <= count; seq += 1) ring.add(seq, `${seq % 10}`);
  return ring;
}

describe("lines in memory", () => {
  it("are the first and the last, with the number of those between", () => {
    expect(ringOf(9).read(0, 100)).toEqual({ lines: ["1", "2", "7", "8", "9"], last: 9, lost: 4 });
    expect(ringOf(5).read(0, 100)).toEqual({ lines: ["1", "2", "3", "4", "5"], last: 5, lost: 0 });
    expect(ringOf(0).read(0, 100)).toEqual({ lines: [], last: 0, lost: 0 });
  });

  it("are read on from the last number", () => {
    const ring = ringOf(9);
    expect(ring.read(0, 1)).toEqual({ lines: ["1"], last: 1, lost: 0 });
    expect(ring.read(1, 2)).toEqual({ lines: ["2", "7"], last: 7, lost: 4 });
    expect(ring.read(7, 100)).toEqual({ lines: ["8", "9"], last: 9, lost: 0 });
    expect(ring.read(9, 100)).toEqual({ lines: [], last: 9, lost: 0 });
    expect(ring.read(4, 100)).toMatchObject({ lines: ["7", "8", "9"], lost: 2 });
  });

  it("keep one line that is longer than all of them may be", () => {
    const ring = new Ring({ beginning: 0, end: 1 });
    ring.add(1, "long");
    expect(ring.read(0, 9)).toMatchObject({ lines: ["long"], lost: 0 });
  });

  it("can be waited for", async () => {
    const ring = ringOf(1);
    const { signal } = new AbortController();
    await ring.next(0, signal);
    const next = ring.next(1, signal);
    const after = ring.next(2, signal);
    ring.add(2, "2");
    await next;
    ring.add(3, "3");
    await after;
    const abort = new AbortController();
    const given = ring.next(3, abort.signal);
    abort.abort(new Error("enough"));
    await expect(given).rejects.toThrow("enough");
    await expect(ring.next(3, abort.signal)).rejects.toThrow("enough");
  });
});
