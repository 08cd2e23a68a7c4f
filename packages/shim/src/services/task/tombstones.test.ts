import { describe, expect, it } from "vitest";
import { Tombstones } from "./tombstones.ts";

describe("tombstones", () => {
  it("are kept up to a fixed number, the oldest forgotten first", () => {
    const tombstones = new Tombstones<number>(2);
    for (const [index, key] of ["a", "b", "a", "c"].entries()) tombstones.set(key, index);
    expect(["a", "b", "c"].map((key) => tombstones.get(key))).toEqual([2, undefined, 3]);
  });

  it("can be forgotten by a predicate", () => {
    const tombstones = new Tombstones<number>(2);
    tombstones.set("one/a", 1);
    tombstones.set("two/a", 2);
    tombstones.forget((key) => key.startsWith("one/"));
    expect(["one/a", "two/a"].map((key) => tombstones.get(key))).toEqual([undefined, 2]);
  });
});
