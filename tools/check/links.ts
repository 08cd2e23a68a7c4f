/** Links in Markdown that lead nowhere: to files that are not in version control, and to headings that do not exist. */
import { posix } from "node:path";
import GithubSlugger from "github-slugger";
import MarkdownIt, { type Token } from "markdown-it";
import type { Problem } from "./problem.ts";

/** What links can lead to. */
export interface LinkTargets {
  /** Whether there is a file or folder of this path, which is relative to the root of the repository. */
  has(path: string): boolean;
  read(path: string): string;
}

interface Link {
  readonly to: string;
  readonly line: number;
}

const markdown = new MarkdownIt({ html: true });

export function deadLinks(file: string, targets: LinkTargets): readonly Problem[] {
  return linksOf(targets.read(file)).flatMap(({ to, line }) => {
    const what = problemOf(file, to, targets);
    return what === undefined ? [] : [{ file, line, what }];
  });
}

function problemOf(file: string, to: string, targets: LinkTargets): string | undefined {
  // Whether other hosts answer is no property of the repository.
  if (/^([a-z][a-z\d+.-]*:|\/\/)/i.test(to)) return undefined;
  const [path = "", anchor] = decodeURI(to).split("#");
  const target =
    path === "" ? file : posix.normalize(posix.join(path.startsWith("/") ? "." : posix.dirname(file), path));
  if (!targets.has(target)) return `link to ${to}: there is no ${target}`;
  if (anchor === undefined || !target.endsWith(".md")) return undefined;
  return anchorsOf(targets.read(target)).has(anchor) ? undefined : `link to ${to}: ${target} has no heading #${anchor}`;
}

function linksOf(text: string): readonly Link[] {
  return markdown.parse(text, {}).flatMap((block) => {
    const line = (block.map?.[0] ?? 0) + 1;
    return flatten([block]).flatMap((token) => {
      const to =
        token.type === "link_open" ? token.attrGet("href") : token.type === "image" ? token.attrGet("src") : null;
      return to === null ? [] : [{ to, line }];
    });
  });
}

/** The ids that GitHub gives the headings of a document, and those that it gives itself in HTML. */
function anchorsOf(text: string): ReadonlySet<string> {
  const slugger = new GithubSlugger();
  const tokens = markdown.parse(text, {});
  const headings = tokens.flatMap((token, index) => {
    if (token.type !== "heading_open") return [];
    const pieces = flatten(tokens.slice(index + 1, index + 2)).filter(({ type }) => /^(text|code_inline)$/.test(type));
    return [slugger.slug(pieces.map(({ content }) => content).join(""))];
  });
  const html = flatten(tokens).filter(({ type }) => type.startsWith("html_"));
  const ids = html.flatMap(({ content }) => [...content.matchAll(/\s(?:id|name)="([^"]+)"/g)].map(([, id = ""]) => id));
  return new Set([...headings, ...ids]);
}

function flatten(tokens: readonly Token[]): readonly Token[] {
  return tokens.flatMap((token) => [token, ...flatten(token.children ?? [])]);
}
