/** Numbers from 0 up to 1 that depend on the seed alone (mulberry32). */
export function randomOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 0x1_0000_0000;
  };
}

/** A seed for one of many things that one seed stands for. */
export function seedFor(seed: number, what: string): number {
  let hash = seed >>> 0;
  for (const character of what) hash = Math.imul(hash ^ (character.codePointAt(0) ?? 0), 0x01000193) >>> 0;
  return hash;
}

/** This many items of the list, chosen by the seed, in the list's order; without a number all of them. */
export function chosen<T>(list: readonly T[], most: number | undefined, seed: number): readonly T[] {
  if (most === undefined || most >= list.length) return list;
  const random = randomOf(seed);
  const order = list.map((one, index) => ({ one, index, rank: random() })).sort((a, b) => a.rank - b.rank);
  return order
    .slice(0, most)
    .sort((a, b) => a.index - b.index)
    .map(({ one }) => one);
}
