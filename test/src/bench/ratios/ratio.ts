/** What is compared with containerd's runc shim, how far it may be from it, and how that is shown. */
import { median, percentile } from "../statistics.ts";

/** What a ratio is of. Of times and memory less is better, of rates more. */
interface Goal {
  readonly what: string;
  readonly unit: string;
  readonly better: "less" | "more";
  /** The largest ratio that is good enough where less is better, otherwise the smallest. */
  readonly bound: number;
}

const ms = { unit: "ms", better: "less" } as const;
const perSecond = { unit: "/s", better: "more" } as const;

/** By their names, in the order in which they are measured. */
export const GOALS = {
  "ctr-run-classic": { ...ms, what: "ctr run --rm … true, a shim for the pod", bound: 2.2 },
  "ctr-run-sandboxer": { ...ms, what: "ctr run --rm … true, handed to a sandboxer", bound: 1.6 },
  "cri-pod": { ...ms, what: "a CRI pod: run, one container running, removed", bound: 1.5 },
  "cri-pod-warm": { ...ms, what: "the same with a VM booted ahead", bound: 1 },
  "memory-50-pods": { what: "serving processes of 50 pods", unit: "MiB", better: "less", bound: 0.25 },
  "state-rate": { ...perSecond, what: "State, 16 calls in flight", bound: 1 },
  "state-p99": { ...ms, what: "State, one call at a time, 99th percentile", bound: 1 },
  "pids-rate": { ...perSecond, what: "Pids, 16 calls in flight", bound: 1 },
  "pids-p99": { ...ms, what: "Pids, one call at a time, 99th percentile", bound: 1 },
  stdio: { what: "1 GiB of an exec's output", unit: "MiB/s", better: "more", bound: 0.9 },
  "flood-state-p99": { ...ms, what: "State of a pod beside three hostile ones / of idle ones", bound: 2 },
  "burst-exec-p99": { ...ms, what: "an exec while 15 pods are made / while none is", bound: 2 },
  "burst-15-pods": { ...ms, what: "15 CRI pods at once, each with a container running", bound: 1.2 },
} as const satisfies { readonly [name: string]: Goal };

export type RatioName = keyof typeof GOALS;
export const RATIO_NAMES = Object.keys(GOALS) as readonly RatioName[];

/** Both sides' values, whose medians are divided. */
export interface Ratio {
  readonly name: RatioName;
  readonly ours: number;
  readonly peers: number;
  /** How many times each side was measured. */
  readonly samples: number;
}

/** What could not be measured, and why. */
export interface LeftOut {
  readonly name: RatioName;
  readonly reason: string;
}

export interface RatioResults {
  readonly ratios: readonly Ratio[];
  readonly leftOut: readonly LeftOut[];
}

export function ratioOf(name: RatioName, ours: readonly number[], peers: readonly number[]): Ratio {
  return { name, ours: median(ours), peers: median(peers), samples: ours.length };
}

/** Of the same calls under two circumstances, by their 99th percentiles. */
export function ratioOfTails(name: RatioName, ours: readonly number[], peers: readonly number[]): Ratio {
  return { name, ours: percentile(ours, 0.99), peers: percentile(peers, 0.99), samples: ours.length };
}

export function quotientOf({ ours, peers }: Ratio): number {
  return ours / peers;
}

export function isGoodEnough(ratio: Ratio): boolean {
  const { better, bound } = GOALS[ratio.name];
  return better === "less" ? quotientOf(ratio) <= bound : quotientOf(ratio) >= bound;
}

/** The table, then a line for each ratio and nothing after them, for programs that read the output. */
export function showRatios({ ratios, leftOut }: RatioResults, print: (line: string) => void): void {
  if (ratios.length === 0 && leftOut.length === 0) return;
  print("against containerd's runc shim, which has runc as ever, while the guests have crun; ratios are of medians");
  print("");
  const row = (cells: readonly string[]): string => {
    const [name = "", what = "", ...values] = cells;
    return `${name.padEnd(19)}${what.padEnd(58)}${values.map((value) => value.padStart(13)).join("")}`;
  };
  print(row(["", "", "ours", "peer's", "ratio", "wanted", "samples"]));
  for (const ratio of ratios) {
    const { what, unit, better, bound } = GOALS[ratio.name];
    const value = (number: number): string => `${number.toFixed(number < 10 ? 2 : 1)} ${unit}`;
    const wanted = `${better === "less" ? "at most" : "at least"} ${bound}`;
    const cells = [value(ratio.ours), value(ratio.peers), quotientOf(ratio).toFixed(2), wanted, `${ratio.samples}`];
    print(`${row([ratio.name, what, ...cells])}${isGoodEnough(ratio) ? "" : "  missed"}`);
  }
  for (const { name, reason } of leftOut) print(`${name} was left out: ${reason}`);
  print("");
  print("ours divided by the peer's: of times and memory less is better, of -rate and stdio more");
  for (const ratio of ratios) print(`ratio ${ratio.name} ${quotientOf(ratio).toFixed(3)}`);
}
