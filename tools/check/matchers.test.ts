import { expect, it } from "vitest";
import { emptyMatches } from "./matchers.ts";

const lines = (source: string): readonly (number | undefined)[] =>
  emptyMatches("packages/x/src/x.test.ts", source).map(({ line }) => line);

it("finds regular expressions that match every text", () => {
  expect(lines("expect(error).toMatchObject({ message: /never/ });")).toEqual([1]);
  expect(lines("await expect(call).rejects.toMatchObject({\n  cause: [{ text: /never/ }],\n});")).toEqual([2]);
  expect(lines("const late = {\n  code: 1,\n  message: /never/ };")).toEqual([3]);
});

it("allows regular expressions that are compared with a text", () => {
  expect(lines("expect(error).toMatchObject({ message: expect.stringMatching(/x/) });")).toEqual([]);
  expect(lines("expect(texts.map((text) => /x/.test(text))).toEqual([true]);")).toEqual([]);
  expect(lines("await expect(call).rejects.toThrow(/x/);")).toEqual([]);
});
