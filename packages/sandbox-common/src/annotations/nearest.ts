/** With more changes it is not a typing mistake. */
const mostChanges = 8;
/** Longer texts are not compared. */
const longestText = 200;

/**
 * The candidate with the smallest edit distance, if that is small. Common prefixes and suffixes are skipped, and so are
 * candidates that cannot be the nearest any more: a pod may have thousands of unknown keys, and the cost of comparing
 * two texts grows with the product of their lengths.
 */
export function nearest(text: string, candidates: readonly string[]): string | undefined {
  if (text.length > longestText) return undefined;
  let best: string | undefined;
  let fewest = mostChanges + 1;
  for (const candidate of candidates) {
    const changes = distance(text, candidate, fewest);
    if (changes < fewest) [best, fewest] = [candidate, changes];
  }
  return best;
}

/** Levenshtein distance, or `enough` if it is not less. */
function distance(from: string, to: string, enough: number): number {
  if (Math.abs(from.length - to.length) >= enough) return enough;
  let start = 0;
  while (start < Math.min(from.length, to.length) && from[start] === to[start]) start++;
  let end = 0;
  while (end < Math.min(from.length, to.length) - start && from.at(-1 - end) === to.at(-1 - end)) end++;
  const height = from.length - end - start;
  const width = to.length - end - start;
  let row: number[] = [];
  let next: number[] = [];
  for (let j = 0; j <= width; j++) {
    row.push(j);
    next.push(enough);
  }
  for (let i = 1; i <= height; i++) {
    // Cells further from the diagonal than this have too many changes already.
    const first = Math.max(1, i - enough + 1);
    const last = Math.min(width, i + enough - 1);
    next[first - 1] = first === 1 ? i : enough;
    let least = enough;
    for (let j = first; j <= last; j++) {
      const isSame = from.charCodeAt(start + i - 1) === to.charCodeAt(start + j - 1);
      const replaced = (row[j - 1] ?? enough) + (isSame ? 0 : 1);
      const changes = Math.min(replaced, (row[j] ?? enough) + 1, (next[j - 1] ?? enough) + 1);
      next[j] = changes;
      if (changes < least) least = changes;
    }
    if (least >= enough && i >= enough) return enough;
    if (last < width) next[last + 1] = enough;
    [row, next] = [next, row];
  }
  return Math.min(row[width] ?? enough, enough);
}
