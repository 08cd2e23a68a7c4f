import { describe, expect, it } from "vitest";
import { type Figure, growthOf, parseHeap, showFigures } from "./figures.ts";

const figure = (name: string, value: number, mayGrowBy: number): Figure => ({ name, unit: "MiB", value, mayGrowBy });

describe("growth", () => {
  it("is what exceeds what a figure may grow by", () => {
    const before = [figure("heap", 10, 4), figure("mounts", 7, 0)];
    expect(growthOf(before, [figure("heap", 14, 4), figure("mounts", 6, 0)])).toEqual([]);
    expect(growthOf(before, [figure("heap", 14.5, 4), figure("mounts", 8, 0)])).toEqual([
      "heap grew by 4.5 MiB, at most 4 MiB may be",
      "mounts grew by 1 MiB, at most 0 MiB may be",
    ]);
  });

  it("is shown start beside end", () => {
    expect(showFigures([figure("heap", 10, 4)], [figure("heap", 11.25, 4)])).toMatch(/heap +10 MiB +11\.3 MiB$/);
  });
});

describe("the shim's word about its heap", () => {
  it("is one line of its log", () => {
    const line = 'time="2026" level=info msg=memory namespace=x heapUsed=1048576 external=5 resources="{}"';
    expect(parseHeap(line)).toEqual({ heapUsed: 1048576, external: 5 });
    expect(parseHeap("level=info msg=serving heapUsed=1")).toBeUndefined();
  });
});
