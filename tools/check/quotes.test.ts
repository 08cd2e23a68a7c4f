import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { root, workspaceFiles } from "../workspace.ts";
import { quotesIn, unsaidIn, withoutComments } from "./quotes.ts";

/** What other programs say, and which: no source of this repository has it. */
const ofOthers: ReadonlyMap<string, string> = new Map([
  ['runtime "io.containerd.lcow.v2" binary not installed "containerd-shim-lcow-v2"', "containerd"],
  ['can\'t unmarshal type "runtimeoptions.v1.Options" to output "containerd.runc.v1.Options"', "containerd"],
  ["no running task found: task … not found", "ctr"],
  ["cleaning up dead shim", "containerd"],
  ["Read-only file system", "the kernel"],
  ["executable file `…` not found in $PATH", "crun"],
]);

const document = "docs/troubleshooting.md";
const quotes = quotesIn(readFileSync(join(root, document), "utf8"));
const sources = workspaceFiles()
  .filter((file) => /^(?:(?:packages|apps)\/[^/]+\/src\/.*|tools\/assemble)\.ts$/.test(file))
  .filter((file) => !/\.(?:test|suite)\.ts$|\/testing\//.test(file))
  .map((file) => withoutComments(readFileSync(join(root, file), "utf8")))
  .join("\n");

describe(document, () => {
  it("quotes what programs say", () => expect(quotes.length).toBeGreaterThan(20));

  it.each(quotes.map(({ text, line }) => [line, text] as const))("line %d: %s", (_, text) => {
    // Of a message that repeats another program's, the part that is ours.
    const own = [...ofOthers.keys()].reduce((rest, other) => rest.replace(other, "…"), text);
    expect(unsaidIn(own, sources)).toBeUndefined();
  });

  it("has all that other programs are said to say", () => {
    for (const other of ofOthers.keys())
      expect(
        quotes.some(({ text }) => text.includes(other)),
        other,
      ).toBe(true);
  });
});

describe("a quote", () => {
  it("ends where its cell does, or what is said of it begins", () => {
    const rows = [
      "| you see | cause |",
      "| ------- | ----- |",
      '| "got "a", expected "b", or c"   | "no quote" |',
      '| code 255; "one"; "two" (in the log) | x |',
    ];
    expect(quotesIn(rows.join("\n"))).toEqual([
      { line: 3, text: 'got "a", expected "b", or c' },
      { line: 4, text: "one" },
      { line: 4, text: "two" },
    ]);
  });

  it("is said if its words are, whatever the values", () => {
    // biome-ignore lint/suspicious/noTemplateCurlyInString: this is the text of a source.
    const source = "`${key}: got ${value}, expected ${accepted}`; `a whole number from ${least} to ${most}`";
    expect(unsaidIn('…count: got "lots", expected a whole number from 0 to 7', source)).toBeUndefined();
    expect(unsaidIn("…: got 5, wanted a whole number from 0", source)).toBe("wanted a whole number from");
    expect(unsaidIn("…: got 5, expected a whole digit", source)).toBe("digit");
  });

  it("is not said by a comment", () => {
    expect(withoutComments("/** the disk is full */\n  // is full\nsay('no space')")).toBe("\n\nsay('no space')");
  });
});
