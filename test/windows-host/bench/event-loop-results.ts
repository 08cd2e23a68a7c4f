/** What the benchmark of the event loop prints. */
export interface EventLoopResults {
  /** Operations that are pending at once. */
  readonly pending: number;
  /** How long a call of a DLL sleeps meanwhile. */
  readonly sleepMs: number;
  /** Longest delays of the event loop, of each round: with nothing to do for as long, and with all that. */
  readonly longestDelayMs: { readonly idle: readonly number[]; readonly busy: readonly number[] };
}
