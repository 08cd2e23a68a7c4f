import type { Evidence } from "./evidence.ts";
import type { Proof } from "./types.ts";

export interface Finding {
  readonly sentence: string;
  readonly evidence: readonly Proof[];
  /** When it happened: of two findings of one kind the later comes first. */
  readonly at: string;
}

/** Something that can be wrong with a pod. */
export interface Cause {
  readonly code: string;
  /** What is wrong, for the table in the documentation. */
  readonly title: string;
  readonly advice: string;
  find(evidence: Evidence): Finding | undefined;
}
