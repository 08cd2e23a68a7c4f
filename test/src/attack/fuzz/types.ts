export interface FuzzOrders {
  readonly subject: string;
  readonly seed: number;
  /** No more than this many cases, and no longer than this many milliseconds. */
  readonly cases: number;
  readonly milliseconds: number;
  /** For so long it is learned from what leads to code that had not run before; 0: not at all. */
  readonly exploreMs: number;
  /** Inputs in base64 that come first: those that were found once. */
  readonly corpus: readonly string[];
}

export interface Fault {
  /** Of the case; negative for one of the corpus. */
  readonly number: number;
  readonly problem: string;
  /** In base64. */
  readonly input: string;
}

export interface FuzzResult {
  readonly subject: string;
  readonly cases: number;
  readonly longestMs: number;
  readonly faults: readonly Fault[];
  readonly learned: number;
  /** Blocks of code that ran while it was learned. */
  readonly blocks: number;
}

/** With what the process has had resident at its greatest. */
export type FuzzReport = FuzzResult & { readonly memoryMiB: number };
