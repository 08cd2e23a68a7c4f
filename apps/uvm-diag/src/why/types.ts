import type { StateTree } from "@uvm-shim/shim/protocol";
import type { RecordLine } from "@uvm-shim/shim/record";
import type { MachineFacts } from "./facts.ts";

export interface WhyInput {
  readonly pod: { readonly namespace: string; readonly id: string };
  readonly now: Date;
  /** Lines of the record, oldest first: from the shim, else from the file. */
  readonly events: readonly RecordLine[];
  /** Of a shim that tells it. */
  readonly state?: StateTree;
  /** Lines of shim and guest, oldest first. */
  readonly log: readonly {
    readonly time: string;
    readonly level: string;
    readonly source: string;
    readonly message: string;
  }[];
  readonly process: ShimProcess;
  /** The end of panic.log in the bundle. */
  readonly panic?: string;
  readonly facts?: MachineFacts;
}

export interface ShimProcess {
  readonly pid?: number;
  /** Undefined where nobody can tell: the record is of another machine. */
  readonly alive: boolean | undefined;
  /** How a shim is silent that was asked. */
  readonly silence?: "no answer" | "not served";
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
