/** Words that are kept out of sources and documents, each with the reason. */
import type { Problem } from "./problem.ts";

export interface BannedWord {
  readonly pattern: RegExp;
  readonly reason: string;
}

export const bannedWords: readonly BannedWord[] = [
  {
    pattern: /\brooms\b|\broom's\b|\b(any|each|every|one|this|which) room\b(?! for)/i,
    reason: "a package is called a package",
  },
  {
    pattern: /\b(DESIGN|FACTS|MIGRATION|ANNOTATIONS|WCOW|BRIEF)\.md\b|\bFACTS\b|\bdesign's §|§ ?\d/,
    reason: "a document that is not in the repository",
  },
  { pattern: /\b(FIXME|TODO|XXX)\b/, reason: "what is to be done is filed as an issue, or done" },
];

export function bannedIn(file: string, text: string, words = bannedWords): readonly Problem[] {
  return text.split("\n").flatMap((content, index) =>
    words.flatMap(({ pattern, reason }) => {
      const found = pattern.exec(content)?.[0];
      return found === undefined ? [] : [{ file, line: index + 1, what: `"${found}": ${reason}` }];
    }),
  );
}
