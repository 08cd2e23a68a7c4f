import { expect, it } from "vitest";
import { randomBytes, randomUuid } from "./random.ts";

it("makes UUIDs of version 4, each another one", () => {
  const ids = Array.from({ length: 2000 }, randomUuid);
  for (const id of ids) expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  expect(new Set(ids).size).toBe(ids.length);
});

it.each([1, 16, 4095, 4096, 5000])("gives %i bytes, and never the same ones", (count) => {
  const some = [randomBytes(count), randomBytes(count)];
  expect(some.map(({ length }) => length)).toEqual([count, count]);
  if (count > 8) expect(some[0]?.equals(some[1] as Buffer)).toBe(false);
});
