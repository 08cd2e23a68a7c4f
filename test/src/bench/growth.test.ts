import { describe, expect, it } from "vitest";
import { measureGrowth, showGrowth } from "./growth.ts";
import { growthSubjects } from "./growth-subjects.ts";

describe("growth", () => {
  it("divides the cost by the things that an operation concerns", async () => {
    const operated = new Map<number, number>();
    const growth = await measureGrowth({
      name: "subject",
      counts: [1, 10],
      prepare: async (count) => ({
        things: count,
        operate: async () => void operated.set(count, (operated.get(count) ?? 0) + 1),
      }),
    });
    expect(growth.costs.map(({ count }) => count)).toEqual([1, 10]);
    expect(growth.ratio).toBeGreaterThan(0);
    expect(operated.get(1)).toBe(10 * (operated.get(10) ?? 0));
  });

  it("shows each count, the ratio, and when that is too great", () => {
    const costs = [
      { count: 1, microseconds: 2 },
      { count: 64, microseconds: 5 },
    ];
    expect(showGrowth([{ name: "disks", costs, ratio: 2.5 }])).toMatch(
      /^disks +1: 2\.0 µs +64: 5\.0 µs +2\.50x, more than 2$/,
    );
    expect(showGrowth([{ name: "disks", costs, ratio: 1 }])).toMatch(/1\.00x$/);
  });

  it.each(growthSubjects.map((subject) => [subject.name, subject] as const))("measures: %s", async (_, subject) => {
    for (const count of subject.counts) {
      const { operate } = await subject.prepare(count);
      await operate();
      await operate();
    }
    expect(subject.counts.length).toBeGreaterThan(1);
  });
});
