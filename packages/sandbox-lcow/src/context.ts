import type { AnnotationValues } from "./annotations/annotations.ts";
import type { PodLimits } from "./document/pod-limits.ts";
import type { HostFacts } from "./host-facts.ts";
import type { RuntimeOptions } from "./options.ts";

/** What every part of a document is made from. */
export interface Context {
  readonly values: AnnotationValues;
  readonly options: RuntimeOptions;
  readonly host: HostFacts;
  /** What the pod's containers may take, as far as it is known before there is one. */
  readonly pod: PodLimits;
  /** Takes a sentence about something that is not taken as it was asked for. */
  readonly warn: (sentence: string) => void;
}
