import { describe, expect, it } from "vitest";
import { interleave, median, medianRatio, percentile } from "./statistics.ts";

describe("median", () => {
  it("is the middle value, whatever the order", () => {
    expect(median([9, 1, 5])).toBe(5);
    expect(median([4, 1, 3, 2])).toBe(2.5);
  });

  it("of nothing is an error", () => {
    expect(() => median([])).toThrow(RangeError);
  });
});

describe("percentile", () => {
  const hundred = Array.from({ length: 100 }, (_, index) => 100 - index);

  it("is the value that so many do not exceed", () => {
    expect(percentile(hundred, 0.99)).toBe(99);
    expect(percentile(hundred, 0.5)).toBe(50);
    expect(percentile(hundred, 1)).toBe(100);
    expect(percentile(hundred, 0)).toBe(1);
  });

  it("of few values is the largest", () => {
    expect(percentile([3, 7, 5], 0.99)).toBe(7);
  });

  it("of nothing is an error", () => {
    expect(() => percentile([], 0.5)).toThrow(RangeError);
  });
});

describe("interleave", () => {
  it("alternates which side is first and keeps the pairs together", async () => {
    const calls: string[] = [];
    const side = (name: string) => async () => {
      calls.push(name);
      return calls.length;
    };
    const result = await interleave(3, side("a"), side("b"));
    expect(calls).toEqual(["a", "b", "b", "a", "a", "b"]);
    expect(result).toEqual({ ours: [1, 4, 5], peers: [2, 3, 6] });
  });
});

describe("medianRatio", () => {
  it("is of the pairs, not of the medians", () => {
    expect(medianRatio([2, 30, 4], [1, 10, 1])).toBe(3);
  });
});
