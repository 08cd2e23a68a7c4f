/** The examples of a README: programs that compile, and whose output the README shows. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import MarkdownIt from "markdown-it";

const markdown = new MarkdownIt();

export interface Example {
  readonly package: string;
  /** Its line in the README. */
  readonly line: number;
  readonly source: string;
  /** What it prints; undefined for one that is only compiled. */
  readonly output: string | undefined;
}

/** Each TypeScript block; a block of text that follows it at once is its output. */
export function examplesOf(name: string, folder: string): readonly Example[] {
  const tokens = markdown.parse(readFileSync(join(folder, "README.md"), "utf8"), {});
  return tokens.flatMap((token, index): Example[] => {
    if (token.type !== "fence" || !/^(ts|typescript)\b/.test(token.info) || token.map === null) return [];
    const next = tokens[index + 1];
    const isRun = !/\bcompile-only\b/.test(token.info) && next?.type === "fence" && next.info.trim() === "text";
    return [{ package: name, line: token.map[0] + 1, source: token.content, output: isRun ? next.content : undefined }];
  });
}

/** Where an example stands in the project, in the line that it has in the README. */
export function placeOf({ package: name, line }: Example): string {
  return join(name.replace(/^.*\//, ""), `${line}`);
}

export function programOf({ line, source }: Example): string {
  return `${"\n".repeat(line)}${source}`;
}

export function outputProblems(expected: string, actual: string): readonly string[] {
  if (actual.trimEnd() === expected.trimEnd()) return [];
  return [`its output is not the README's:\n${indent(actual)}\ninstead of\n${indent(expected)}`];
}

function indent(text: string): string {
  return text.trimEnd().replace(/^/gm, "  ");
}
