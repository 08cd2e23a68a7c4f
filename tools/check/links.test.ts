import { describe, expect, it } from "vitest";
import { deadLinks } from "./links.ts";

const other = ["# A `code` title!", "", "## Twice", "", "## Twice", "", '<a id="by-hand"></a>', "", "    # no heading"];
const files = new Map([
  ["docs/other.md", other.join("\n")],
  ["packages/shim/src/main.ts", ""],
]);

function problems(...lines: readonly string[]): readonly string[] {
  const documents = new Map(files).set("docs/page.md", lines.join("\n"));
  const has = (path: string): boolean => documents.has(path) || path === "packages/shim";
  const read = (path: string): string => documents.get(path) ?? "";
  return deadLinks("docs/page.md", { has, read }).map(({ line, what }) => `${line}: ${what}`);
}

describe("links in Markdown", () => {
  it("to missing files are found, with the line of their block", () => {
    expect(problems("# Page", "", "See [it](missing.md), ![it](missing.png) and [it][1].", "", "[1]: ../gone")).toEqual(
      [
        "3: link to missing.md: there is no docs/missing.md",
        "3: link to missing.png: there is no docs/missing.png",
        "3: link to ../gone: there is no gone",
      ],
    );
    expect(problems("[out](../../elsewhere.md)")).toEqual([
      "1: link to ../../elsewhere.md: there is no ../elsewhere.md",
    ]);
  });

  it("to missing headings are found, in the same document and in others", () => {
    expect(problems("# Here", "", "[a](#there)", "", "[b](other.md#no-heading)")).toEqual([
      "3: link to #there: docs/page.md has no heading #there",
      "5: link to other.md#no-heading: docs/other.md has no heading #no-heading",
    ]);
  });

  it("resolve to files, folders and headings as GitHub names them", () => {
    expect(
      problems(
        "# Here it is",
        "[a](#here-it-is) [b](other.md#a-code-title) [c](other.md#twice-1) [d](other.md#by-hand)",
        "[e](../packages/shim) [f](/docs/other.md) [g](../packages/shim/src/main.ts#L1)",
        "[h](https://example.org/x) <mailto:a@example.org> `[i](missing.md)`",
      ),
    ).toEqual([]);
  });
});
