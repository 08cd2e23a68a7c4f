import type { RecordLine } from "@uvm-shim/shim/record";
import type { MachineFacts } from "./facts.ts";

export interface WhyInput {
  readonly pod: { readonly namespace: string; readonly id: string };
  readonly now: Date;
  /** Lines of the record, oldest first: from the shim, else from the file. */
  readonly events: readonly RecordLine[];
  /** The state tree of a shim that answers, as parsed JSON. */
  readonly state?: unknown;
  /** Lines of shim and guest, oldest first. */
  readonly log: readonly {
    readonly time: string;
    readonly level: string;
    readonly source: string;
    readonly message: string;
  }[];
  readonly process: { readonly pid?: number; readonly alive: boolean; readonly answers: boolean };
  /** The end of panic.log in the bundle. */
  readonly panic?: string;
  readonly facts?: MachineFacts;
}

export interface Proof {
  readonly at?: string;
  readonly text: string;
}

export interface Verdict {
  /** The code of its cause. */
  readonly cause: string;
  readonly sentence: string;
  readonly evidence: readonly Proof[];
  readonly advice?: string;
}
