import fc from "fast-check";
import { expect, it } from "vitest";
import { nearest } from "./nearest.ts";

const word = fc.string({ unit: fc.constantFrom("a", "b", "."), maxLength: 8 });

/** The edit distance by its definition: the first character is kept, replaced, removed or inserted. */
function distance(from: string, to: string): number {
  if (from === "" || to === "") return from.length + to.length;
  const kept = distance(from.slice(1), to.slice(1));
  if (from[0] === to[0]) return kept;
  return 1 + Math.min(kept, distance(from.slice(1), to), distance(from, to.slice(1)));
}

it("finds the first candidate with the smallest distance", () => {
  fc.assert(
    fc.property(word, fc.array(word, { minLength: 1, maxLength: 6 }), (text, candidates) => {
      const smallest = Math.min(...candidates.map((candidate) => distance(text, candidate)));
      expect(nearest(text, candidates)).toBe(candidates.find((candidate) => distance(text, candidate) === smallest));
    }),
  );
});

it("finds no candidate at a distance above eight", () => {
  expect(nearest("01234567", ["abcdefgh", ""])).toBe("abcdefgh");
  expect(nearest("012345678", ["abcdefghi", ""])).toBeUndefined();
});
