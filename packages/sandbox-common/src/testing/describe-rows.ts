import { describe, expect, it } from "vitest";
import { type Annotations, Refused, type SettingRows } from "./setting-rows.ts";

/** Tests by which every row of every key is what a sandbox makes of it. */
export function describeRows<Built, More>(
  rows: ReadonlyMap<string, SettingRows<Built, More>>,
  build: (annotations: Annotations, more?: More) => Built,
): void {
  it("there are rows of every kind", () => {
    for (const [key, { valid, boundary, invalid }] of rows) {
      expect(
        [valid, boundary, invalid].every(({ length }) => length > 0),
        key,
      ).toBe(true);
    }
  });

  describe.each([...rows])("%s", (key, { given = {}, more, effect, default: byDefault, valid, boundary, invalid }) => {
    const find = (annotations: Annotations) => effect(build({ ...given, ...annotations }, more));

    it("has a default", () => expectAs(() => find({}), byDefault));

    it.each([...valid, ...boundary, ...invalid])("%j", (text, expected) => {
      expectAs(() => find({ [key]: text }), expected);
      if (expected instanceof Refused) expect(() => find({ [key]: text })).toThrow(key);
    });
  });
}

function expectAs(act: () => unknown, expected: unknown): void {
  if (!(expected instanceof Refused)) {
    expect(act()).toEqual(expected);
    return;
  }
  expect(act).toThrow(expect.objectContaining({ code: expected.code }));
  expect(act).toThrow(expected.message);
}
