import { expect, it } from "vitest";
import { exampleProblems } from "./examples.ts";

const document = (code: string): string => ["# Page", "", "```ts", ...code.split("\n"), "```"].join("\n");

it("finds examples that do not compile, with their line in the document", () => {
  const documents = new Map([
    ["packages/x/README.md", document('import { codeOf } from "@uvm-shim/lifecycle";\n\nawait Promise.all([codeOf]);')],
    ["docs/wrong-name.md", document('import { noSuchName } from "@uvm-shim/lifecycle";')],
    [
      "docs/wrong-type.md",
      document('import { codeOf } from "@uvm-shim/lifecycle";\n\nexport const code: bigint = codeOf(1);'),
    ],
    ["docs/shell.md", "```sh\nnpm test\n```"],
  ]);
  expect(exampleProblems(documents).map(({ file, line, what }) => `${file}:${line}: ${what}`)).toEqual([
    expect.stringMatching(/^docs\/wrong-name\.md:4: example: TS2305: .*noSuchName/),
    expect.stringMatching(/^docs\/wrong-type\.md:6: example: TS2322: .*bigint/),
  ]);
}, 60_000);
