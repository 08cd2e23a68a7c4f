import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type JsonBounds, jsonExcess } from "./bounded-json.ts";

const unbounded: JsonBounds = { length: 1e9, depth: 1e9, keys: 1e9, elements: 1e9 };

/** Depth, fields and list elements, counted on the parsed value. */
function contentOf(value: unknown): Omit<JsonBounds, "length"> {
  if (typeof value !== "object" || value === null) return { depth: 0, keys: 0, elements: 0 };
  const members = Object.values(value).map(contentOf);
  const sum = (what: "keys" | "elements"): number => members.reduce((total, member) => total + member[what], 0);
  const own = Array.isArray(value) ? { keys: 0, elements: value.length || 1 } : { keys: members.length, elements: 0 };
  return {
    depth: 1 + Math.max(0, ...members.map(({ depth }) => depth)),
    keys: own.keys + sum("keys"),
    elements: own.elements + sum("elements"),
  };
}

describe("bounds of a JSON text", () => {
  it("allow exactly their number, whatever strings contain", () => {
    const value = fc.jsonValue({ maxDepth: 6, stringUnit: fc.constantFrom(...'[]{},:"\\\\a\n\u2028é') });
    fc.assert(
      fc.property(value, fc.constantFrom(undefined, 2), (given, indentation) => {
        const text = JSON.stringify(given, undefined, indentation);
        const held = { length: text.length, ...contentOf(given) };
        expect(jsonExcess(text, held)).toBeUndefined();
        for (const bound of ["length", "depth", "keys", "elements"] as const) {
          if (held[bound] > 0) expect(jsonExcess(text, { ...held, [bound]: held[bound] - 1 })).toBeDefined();
        }
      }),
      { numRuns: 1000 },
    );
  });

  it.each([
    ["12345", { length: 4 }, "expected at most 4 characters, got 5"],
    ["[[[]]]", { depth: 2 }, "expected at most 2 levels"],
    ['{"a":{"b":0},"c":[{"d":0}]}', { keys: 3 }, "expected at most 3 fields"],
    ["[0,[],[0]]", { elements: 4 }, "expected at most 4 list elements"],
    ["[{},{}]", { elements: 1 }, "expected at most 1 list elements"],
    // A repeated name is one field in the result, but costs time each time.
    ['{"a":0,"a":0}', { keys: 1 }, "expected at most 1 fields"],
    // JSON.parse would have built all of it before refusing the missing end.
    ["[0,0,0,", { elements: 2 }, "expected at most 2 list elements"],
    ["[".repeat(100_000), { depth: 8 }, "expected at most 8 levels"],
  ])("%.40s", (text, bound, message) => {
    expect(jsonExcess(text, { ...unbounded, ...bound })).toBe(message);
  });

  it.each(['"', '"\\', '{"a', "]]]]", "}", "", "\\"])("ignore %j, which is no JSON", (text) => {
    expect(jsonExcess(text, { length: 10, depth: 1, keys: 1, elements: 1 })).toBeUndefined();
  });
});
