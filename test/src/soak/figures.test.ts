import { describe, expect, it } from "vitest";
import { type Figure, growthOf, type Soaked, showFigures } from "./figures.ts";

function soaked(figure: Omit<Figure, "value">, [fresh, start, middle, end]: readonly number[]): Soaked {
  const at = (value = 0): readonly Figure[] => [{ ...figure, value }];
  return { fresh: at(fresh), start: at(start), middle: at(middle), end: at(end) };
}

const heap = { name: "heap", mayGrow: { since: "middle", mebibytes: 0.5 } } as const;
const mounts = { name: "mounts" };

describe("a soaked pod", () => {
  it("is flat when counts are those of a fresh one, and memory grows within its limit", () => {
    expect(growthOf(soaked(mounts, [7, 7, 7, 7]))).toEqual([]);
    expect(growthOf(soaked(heap, [1, 9, 10, 10.5]))).toEqual([]);
    expect(growthOf(soaked(heap, [1, 9, 12, 10]))).toEqual([]);
  });

  it.each([
    [7, 7, 7, 8],
    [7, 7, 8, 7],
    [7, 8, 8, 8],
    [7, 6, 6, 6],
  ])("is not flat when a count is %i, then %i, %i and %i", (...values) => {
    const [fresh, start, middle, end] = values;
    expect(growthOf(soaked(mounts, values))).toEqual([
      `mounts: expected ${fresh} as in a fresh pod, got ${start}, ${middle} and ${end}`,
    ]);
  });

  it("is not flat when memory goes on growing, or is unknown", () => {
    expect(growthOf(soaked(heap, [1, 2, 3, 3.75]))).toEqual([
      "heap: grew by 0.75 MiB since the middle, expected at most 0.5 MiB",
    ]);
    expect(growthOf(soaked({ ...heap, mayGrow: { since: "start", mebibytes: 1 } }, [1, 2, 3, 3.5]))).toEqual([
      "heap: grew by 1.50 MiB since the start, expected at most 1 MiB",
    ]);
    expect(growthOf(soaked(heap, [1, 2, 3, Number.NaN]))).toHaveLength(1);
  });

  it("is shown, a row for each figure", () => {
    expect(showFigures(soaked(mounts, [7, 7, 7, 8]))).toMatch(/fresh +start +middle +end\nmounts +7 +7 +7 +8$/);
    expect(showFigures(soaked(heap, [1, 2, 3, 4]))).toMatch(/heap +1\.00 MiB +2\.00 MiB +3\.00 MiB +4\.00 MiB$/);
  });
});
