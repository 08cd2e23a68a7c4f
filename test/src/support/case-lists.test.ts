import { expect, it } from "vitest";
import { unknownNames } from "../e2e/cases.ts";

it("lists of cases have names of cases alone", () => {
  expect(unknownNames()).toEqual([]);
});
