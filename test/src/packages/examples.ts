import { readFileSync } from "node:fs";
import { join } from "node:path";
import MarkdownIt from "markdown-it";
import { root } from "../../../tools/workspace.ts";

export interface Example {
  readonly file: string;
  readonly code: string;
  /** What it prints; undefined for one that only compiles. */
  readonly output: string | undefined;
  /** Whether it needs root and what a guest needs. */
  readonly needsRoot: boolean;
}

const markdown = new MarkdownIt();

/**
 * The TypeScript of a package's README. A block of text directly behind it is what it prints. One that has none is not run: it
 * is a part of a program.
 */
export function examplesOf(folder: string): readonly Example[] {
  const tokens = markdown.parse(readFileSync(join(root, folder, "README.md"), "utf8"), {});
  return tokens.flatMap(({ type, info, content }, index) => {
    if (type !== "fence" || !/^ts\b/.test(info)) return [];
    const next = tokens[index + 1];
    const output = next?.type === "fence" && next.info === "text" ? next.content : undefined;
    const file = `${folder.replace("packages/", "")}-${index}.ts`;
    return [{ file, code: content, output, needsRoot: info.includes("root") }];
  });
}
