import type { HostFacts, RuntimeOptions } from "@uvm-shim/sandbox-common";
import type { AnnotationValues } from "./annotations/annotations.ts";
import type { WindowsResources } from "./document/resources.ts";

/** The input of every part of a document. */
export interface Context {
  readonly values: AnnotationValues;
  readonly options: RuntimeOptions;
  readonly host: HostFacts;
  /** `windows.resources` of the specification. */
  readonly resources: WindowsResources;
  /** Logs a warning about a setting without its full effect. */
  readonly warn: (sentence: string) => void;
}
