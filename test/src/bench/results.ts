/** What a run of the benchmark has measured, and how it shows it. */
import { type Growth, greatestRatio, showGrowth } from "./growth.ts";
import { type PhaseResults, showPhases } from "./phases.ts";
import { type PodCost, showPods } from "./pod-cost.ts";
import { type RatioResults, showRatios } from "./ratios/ratio.ts";

export interface Comparison {
  readonly what: string;
  readonly unit: string;
  readonly ours: number;
  readonly peers: number;
  /** The median of the pairs' ratios. */
  readonly ratio: number;
}

/** Without phases where those were not asked for. */
export interface Results extends Partial<PhaseResults> {
  readonly containerd: string;
  readonly pairs: number;
  readonly comparisons: readonly Comparison[];
  /** Of the shim for Windows containers, against that for Linux containers. */
  readonly flavours: readonly Comparison[];
  /** Of a run with telemetry, against one without. */
  readonly telemetry: readonly Comparison[];
  readonly growths: readonly Growth[];
  readonly pods: readonly PodCost[];
  readonly ratios: RatioResults;
}

export function show(results: Results, print: (line: string) => void): void {
  print(
    `containerd ${results.containerd}, medians of ${results.pairs} interleaved pairs; the emulated host was running`,
  );
  print("");
  showComparisons(["shim-lcow", "runc shim"], results.comparisons, print);
  showComparisons(["shim-wcow", "shim-lcow"], results.flavours, print);
  showComparisons(["telemetry on", "off"], results.telemetry, print);
  const { phases, ...rest } = results;
  if (phases !== undefined) showPhases({ ...rest, phases }, results.pairs, print);
  if (results.pods.length > 0) {
    print("");
    print("a pod with one container, idle for 5 s, and then with a second that counts and fills 50 MiB of /dev/shm");
    print("");
    print(showPods(results.pods));
  }
  if (results.growths.length > 0) {
    print("");
    print(
      `the controllers' own cost of one more, by how many there are, on an instant host; at most ${greatestRatio}x`,
    );
    print("");
    print(showGrowth(results.growths));
    print("");
  }
  showRatios(results.ratios, print);
}

function showComparisons(
  columns: readonly string[],
  comparisons: readonly Comparison[],
  print: (line: string) => void,
): void {
  if (comparisons.length === 0) return;
  print(`${"".padEnd(26)}${[...columns].map((name) => name.padStart(12)).join("")}${"ratio".padStart(9)}`);
  for (const { what, unit, ours, peers, ratio } of comparisons) {
    const value = (number: number): string => `${number.toFixed(1)} ${unit}`.padStart(12);
    print(`${what.padEnd(26)}${value(ours)}${value(peers)}${`${ratio.toFixed(2)}x`.padStart(9)}`);
  }
  print("");
}
