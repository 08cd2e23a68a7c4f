/** The middle of the values, or the mean of the two in the middle. Throws on none. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((left, right) => left - right);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle];
  if (upper === undefined) throw new RangeError("median of no values");
  if (sorted.length % 2 === 1) return upper;
  return (upper + (sorted[middle - 1] as number)) / 2;
}

/** The smallest value that at least this fraction of all do not exceed. Throws on none. */
export function percentile(values: readonly number[], fraction: number): number {
  const sorted = values.toSorted((left, right) => left - right);
  const value = sorted[Math.max(Math.ceil(fraction * sorted.length) - 1, 0)];
  if (value === undefined) throw new RangeError("percentile of no values");
  return value;
}

/** Measures both sides of each pair next to each other, and alternates which is first, so that drift hits both alike. */
export async function interleave<T, P = T>(
  pairs: number,
  ours: () => Promise<T>,
  peers: () => Promise<P>,
): Promise<{ readonly ours: T[]; readonly peers: P[] }> {
  const result = { ours: [] as T[], peers: [] as P[] };
  for (let pair = 0; pair < pairs; pair += 1) {
    const measureOurs = async (): Promise<void> => void result.ours.push(await ours());
    const measurePeers = async (): Promise<void> => void result.peers.push(await peers());
    const order = pair % 2 === 0 ? [measureOurs, measurePeers] : [measurePeers, measureOurs];
    for (const measure of order) await measure();
  }
  return result;
}

/** The median of the ratios of each pair. */
export function medianRatio(ours: readonly number[], peers: readonly number[]): number {
  return median(ours.map((value, index) => value / (peers[index] as number)));
}
