/** What became of one test, as it crosses from a suite that runs under Wine. */
export interface Outcome {
  readonly name: string;
  readonly state: "passed" | "failed" | "skipped";
  readonly milliseconds: number;
  readonly errors: readonly string[];
}
