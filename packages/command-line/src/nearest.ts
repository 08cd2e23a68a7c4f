/** Longer words are no mistyped ones. */
const longestTyped = 200;

/** The known word that a mistyped one is most like; undefined if none is like it. */
export function nearest(word: string, known: readonly string[]): string | undefined {
  let best: { readonly word: string; readonly distance: number } | undefined;
  const typed = word.toLowerCase();
  const most = Math.max(2, Math.ceil(word.length / 3));
  for (const candidate of known) {
    const enough = best?.distance ?? most + 1;
    // The distance is not smaller than this, and takes the product of both lengths to find.
    if (Math.abs(candidate.length - typed.length) >= enough || typed.length > longestTyped) continue;
    const distance = editDistance(typed, candidate.toLowerCase());
    if (distance < enough) best = { word: candidate, distance };
  }
  return best?.word ?? known.find((candidate) => typed.length >= 2 && candidate.toLowerCase().startsWith(typed));
}

/** Refuses a word that is not known, and names the one that was probably meant. */
export function unknownWord(kind: string, given: string, accepted: readonly string[]): string {
  const meant = nearest(given, accepted);
  const guess = meant === undefined ? "" : ` did you mean ${meant}?`;
  return `unknown ${kind} ${given}:${guess === "" ? " expected" : `${guess} Expected`} one of ${accepted.join(", ")}`;
}

/** Letters to insert, remove, replace, or exchange with their neighbour. */
function editDistance(from: string, to: string): number {
  const rows: number[][] = [Array.from({ length: to.length + 1 }, (_, index) => index)];
  for (let row = 1; row <= from.length; row++) {
    const line = [row];
    for (let column = 1; column <= to.length; column++) {
      const differs = from[row - 1] === to[column - 1] ? 0 : 1;
      let cost = Math.min(
        (rows[row - 1]?.[column] ?? 0) + 1,
        (line[column - 1] ?? 0) + 1,
        (rows[row - 1]?.[column - 1] ?? 0) + differs,
      );
      const exchanged = from[row - 1] === to[column - 2] && from[row - 2] === to[column - 1];
      if (row > 1 && column > 1 && exchanged) cost = Math.min(cost, (rows[row - 2]?.[column - 2] ?? 0) + 1);
      line.push(cost);
    }
    rows.push(line);
  }
  return rows.at(-1)?.at(-1) ?? 0;
}
