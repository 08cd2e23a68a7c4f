/** Longer texts are compared with nothing: the work grows with the length, and nobody mistypes so much. */
const longestText = 200;

/** The candidate that takes the fewest changes of one character to come to. */
export function nearest(text: string, candidates: readonly string[]): string | undefined {
  if (text.length > longestText) return undefined;
  let best: { readonly candidate: string; readonly changes: number } | undefined;
  for (const candidate of candidates) {
    const changes = distance(text, candidate);
    if (best === undefined || changes < best.changes) best = { candidate, changes };
  }
  return best?.candidate;
}

/** Levenshtein distance. */
function distance(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, index) => index);
  for (let i = 1; i <= from.length; i++) {
    const next = [i];
    for (let j = 1; j <= to.length; j++) {
      const replaced = (row[j - 1] ?? 0) + (from[i - 1] === to[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[to.length] ?? 0;
}
