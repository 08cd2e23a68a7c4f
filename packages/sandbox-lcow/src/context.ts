import type { HostFacts, RuntimeOptions } from "@uvm-shim/sandbox-common";
import type { AnnotationValues } from "./annotations/annotations.ts";
import type { PodLimits } from "./document/pod-limits.ts";

/** The input of every part of a document. */
export interface Context {
  readonly values: AnnotationValues;
  readonly options: RuntimeOptions;
  readonly host: HostFacts;
  /** Limits of the pod's containers, as far as known before there are any. */
  readonly pod: PodLimits;
  /** Logs a warning about a setting without its full effect. */
  readonly warn: (sentence: string) => void;
}
