import { expect, it } from "vitest";
import { bannedIn } from "./banned-words.ts";

const problems = (text: string): readonly string[] =>
  bannedIn("docs/x.md", text).map(({ line, what }) => `${line}: ${what}`);

it("finds uses of a banned word", () => {
  expect(problems("A package.\n\nThis room does no I/O, and the room's types")).toEqual([
    '3: "This room": a package is called a package',
  ]);
  expect(problems("three rooms")).toEqual(['1: "rooms": a package is called a package']);
});

it("allows the same word with another meaning", () => {
  expect(problems("A pod has room for one more; is there any room for it? no room is left.")).toEqual([]);
});

it("finds to-do comments", () => {
  expect(problems("// TODO: later")).toEqual(['1: "TODO": what is to be done is filed as an issue, or done']);
});

it("finds what is cited of documents that are elsewhere", () => {
  const reason = "a document that is not in the repository";
  expect(problems("as FACTS.md says, with 2 facts\nFACTS, 5")).toEqual([
    `1: "FACTS.md": ${reason}`,
    `2: "FACTS": ${reason}`,
  ]);
});
