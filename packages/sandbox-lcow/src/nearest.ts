/** More is no mistyping any more. */
const mostChanges = 10;
/** Longer texts are compared with nothing. */
const longestText = 200;

/**
 * The candidate that takes the fewest changes of one character to come to, if few do. What two texts begin and end with
 * alike is not compared, nor is a candidate gone through that cannot be the nearest any more: a pod may bring thousands
 * of texts, and the work for two grows with the product of their lengths.
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

/** Levenshtein distance; `enough` where it is no less. */
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
  for (let j = 0; j <= width; j++) row.push(j);
  for (let i = 1; i <= height; i++) {
    next[0] = i;
    let least = i;
    for (let j = 1; j <= width; j++) {
      const isSame = from.charCodeAt(start + i - 1) === to.charCodeAt(start + j - 1);
      const replaced = (row[j - 1] ?? 0) + (isSame ? 0 : 1);
      const changes = Math.min(replaced, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1);
      next[j] = changes;
      if (changes < least) least = changes;
    }
    if (least >= enough) return enough;
    [row, next] = [next, row];
  }
  return row[width] ?? 0;
}
