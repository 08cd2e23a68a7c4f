import { describe, expect, it } from "vitest";
import { type Figure, growthOf, type Soaked, showFigures } from "./figures.ts";

function soaked(figure: Omit<Figure, "value">, [fresh, start, middle, end]: readonly number[]): Soaked {
  const at = (value = 0): readonly Figure[] => [{ ...figure, value }];
  return { fresh: at(fresh), start: at(start), middle: at(middle), end: at(end) };
}

const heap = { name: "heap", mayGrow: { since: "middle", mebibytes: 0.5 } } as const;
const mounts = { name: "mounts" };

describe("a soaked pod", () => {
  it("is flat when things are as many as in a fresh one, and memory has grown by what it may after the middle", () => {
    expect(growthOf(soaked(mounts, [7, 7, 7, 7]))).toEqual([]);
    expect(growthOf(soaked(heap, [1, 9, 10, 10.5]))).toEqual([]);
    expect(growthOf(soaked(heap, [1, 9, 12, 10]))).toEqual([]);
  });

  it.each([
    [7, 7, 7, 8],
    [7, 7, 8, 7],
    [7, 8, 8, 8],
    [7, 6, 6, 6],
  ])("is not when there are %i, then %i, %i and %i of a thing", (...values) => {
    const [fresh, start, middle, end] = values;
    expect(growthOf(soaked(mounts, values))).toEqual([
      `mounts: ${fresh} in a fresh pod, then ${start}, ${middle} and ${end}`,
    ]);
  });

  it("is not when memory goes on to grow, or is not known", () => {
    expect(growthOf(soaked(heap, [1, 2, 3, 3.75]))).toEqual([
      "heap: 0.75 MiB more at the end than at the middle, at most 0.5 MiB may be",
    ]);
    expect(growthOf(soaked({ ...heap, mayGrow: { since: "start", mebibytes: 1 } }, [1, 2, 3, 3.5]))).toEqual([
      "heap: 1.50 MiB more at the end than at the start, at most 1 MiB may be",
    ]);
    expect(growthOf(soaked(heap, [1, 2, 3, Number.NaN]))).toHaveLength(1);
  });

  it("is shown, a row for each figure", () => {
    expect(showFigures(soaked(mounts, [7, 7, 7, 8]))).toMatch(/fresh +start +middle +end\nmounts +7 +7 +7 +8$/);
    expect(showFigures(soaked(heap, [1, 2, 3, 4]))).toMatch(/heap +1\.00 MiB +2\.00 MiB +3\.00 MiB +4\.00 MiB$/);
  });
});
