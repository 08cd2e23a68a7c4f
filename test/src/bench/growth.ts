import { median } from "./statistics.ts";

/** One more of something at a controller, and one less; its host and guest answer at once. */
export interface GrowthSubject {
  readonly name: string;
  /** How many are there beside the one that is measured, in rising order. */
  readonly counts: readonly number[];
  /** A controller with so many; what is measured comes and goes in addition, or is among them. */
  prepare(count: number): Promise<{
    /** Does the operation once. */
    readonly operate: () => Promise<void>;
    /** How many things one `operate` concerns, by which its cost is divided. */
    readonly things: number;
  }>;
}

export interface Growth {
  readonly name: string;
  readonly costs: readonly { readonly count: number; readonly microseconds: number }[];
  /** The cost at the last count divided by that at the first. */
  readonly ratio: number;
}

/** At most so much may an operation cost more at the last count than at the first. */
export const greatestRatio = 2;
const warmUpRounds = 200;
const batches = 41;
const operationsOfABatch = 50;

/**
 * The controller's own cost of one operation by how many there are: medians of batches, which are measured in turns so
 * that drift hits all counts alike.
 */
export async function measureGrowth({ name, counts, prepare }: GrowthSubject): Promise<Growth> {
  const subjects = await Promise.all(
    counts.map(async (count) => ({ count, ...(await prepare(count)), samples: [] as number[] })),
  );
  for (const { operate, things } of subjects) {
    for (let round = 0; round < Math.ceil(warmUpRounds / things); round++) await operate();
  }
  for (let batch = 0; batch < batches; batch++) {
    for (const { operate, things, samples } of subjects) {
      const rounds = Math.ceil(operationsOfABatch / things);
      const started = performance.now();
      for (let round = 0; round < rounds; round++) await operate();
      samples.push(((performance.now() - started) * 1000) / (rounds * things));
    }
  }
  const costs = subjects.map(({ count, samples }) => ({ count, microseconds: median(samples) }));
  return { name, costs, ratio: (costs.at(-1)?.microseconds ?? Number.NaN) / (costs[0]?.microseconds ?? Number.NaN) };
}

export function showGrowth(growths: readonly Growth[]): string {
  return growths
    .map(({ name, costs, ratio }) => {
      const cells = costs.map(({ count, microseconds }) => `${count}: ${microseconds.toFixed(1)} µs`.padStart(16));
      const verdict = ratio <= greatestRatio ? "" : `, more than ${greatestRatio}`;
      return `${name.padEnd(26)}${cells.join("")}${`${ratio.toFixed(2)}x`.padStart(9)}${verdict}`;
    })
    .join("\n");
}
