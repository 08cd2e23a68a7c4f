import fc from "fast-check";
import { expect, it } from "vitest";
import { nearest } from "./nearest.ts";

const word = fc.string({ unit: fc.constantFrom("a", "b", "."), maxLength: 8 });

/** By the definition: what is left to change after the first character is kept, replaced, left out or put in. */
function changes(from: string, to: string): number {
  if (from === "" || to === "") return from.length + to.length;
  const kept = changes(from.slice(1), to.slice(1));
  if (from[0] === to[0]) return kept;
  return 1 + Math.min(kept, changes(from.slice(1), to), changes(from, to.slice(1)));
}

it("finds the first of those that take the fewest changes", () => {
  fc.assert(
    fc.property(word, fc.array(word, { minLength: 1, maxLength: 6 }), (text, candidates) => {
      const fewest = Math.min(...candidates.map((candidate) => changes(text, candidate)));
      expect(nearest(text, candidates)).toBe(candidates.find((candidate) => changes(text, candidate) === fewest));
    }),
  );
});

it("finds none that takes more than eight", () => {
  expect(nearest("01234567", ["abcdefgh", ""])).toBe("abcdefgh");
  expect(nearest("012345678", ["abcdefghi", ""])).toBeUndefined();
});
