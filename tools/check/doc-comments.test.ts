import { describe, expect, it } from "vitest";
import { undocumented } from "./doc-comments.ts";

const problems = (source: string): readonly string[] =>
  undocumented("a.ts", source).map(({ line, what }) => `${line}: ${what}`);

describe("exported declarations", () => {
  it.each([
    "/** What it is. */\nexport const a = 1;",
    "/**\n * What it is.\n */\nexport interface A {}",
    "/** First. */\nexport function f(a: string): void;\nexport function f(a: number): void;\nexport function f(): void {}",
    "const hidden = 1;",
    'export { a } from "./a.ts";',
  ])("may be %j", (source) => {
    expect(problems(source)).toEqual([]);
  });

  it.each([
    ["export const a = 1;", "1: a is exported without a doc comment"],
    ["// A remark.\nexport type A = 1;", "2: A is exported without a doc comment"],
    ["/** Of the module. */\n\nexport class A {}", "3: A is exported without a doc comment"],
    ["/* No documentation. */\nexport const a = 1, b = 2;", "2: a, b is exported without a doc comment"],
    ["/** Of this. */ const x = 1; /* and */\nexport const a = x;", "2: a is exported without a doc comment"],
  ])("are missed in %j", (source, problem) => {
    expect(problems(source)).toEqual([problem]);
  });
});
