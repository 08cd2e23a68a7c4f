/** How much of each kind of attack there is, for how long it may take. */
import type { Extent } from "./arguments.ts";

export interface Measures {
  /** Modes of the hostile guest, at most; undefined: all. */
  readonly guests: number | undefined;
  /** How long a flood of a guest lasts. */
  readonly floodMs: number;
  /** Of each decoder. */
  readonly cases: number;
  readonly fuzzMs: number;
  readonly exploreMs: number;
  /** Pods of which a process is killed. */
  readonly kills: number;
  readonly limits: number | undefined;
}

const second = 1_000;
const minute = 60 * second;

export function measuresOf(extent: Extent): Measures {
  switch (extent.kind) {
    // Numbers and no times decide, so that a run is the same however busy its machine is.
    case "short":
      return { guests: 28, floodMs: 1_500, cases: 1_500, fuzzMs: minute, exploreMs: 0, kills: 4, limits: 3 };
    case "whole":
      return {
        guests: undefined,
        floodMs: 2_500,
        cases: 200_000,
        fuzzMs: 7 * second,
        exploreMs: 0,
        kills: 40,
        limits: undefined,
      };
    case "long":
      return {
        ...{ guests: undefined, floodMs: 20 * second, cases: 10_000_000 },
        ...{ fuzzMs: extent.milliseconds, exploreMs: 10 * second, kills: 100, limits: undefined },
      };
  }
}
