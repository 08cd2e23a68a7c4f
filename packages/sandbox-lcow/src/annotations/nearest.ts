/** More is no mistyping any more. */
const mostChanges = 8;
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
  for (let j = 0; j <= width; j++) {
    row.push(j);
    next.push(enough);
  }
  for (let i = 1; i <= height; i++) {
    // Further from the diagonal than so there are too many changes already.
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
