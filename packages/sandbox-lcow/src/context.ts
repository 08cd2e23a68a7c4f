import type { AnnotationValues } from "./annotations/annotations.ts";
import type { PodLimits } from "./document/pod-limits.ts";
import type { RuntimeOptions } from "./options.ts";
import type { PathGrammar } from "./paths.ts";

/** Facts about the host; injected, so that documents for any host can be built on any machine. */
export interface HostFacts {
  readonly processors: number;
  /** Memory of the host in MB; absent if unknown. */
  readonly memoryInMb?: number;
  readonly pathGrammar: PathGrammar;
  /** Whether there is a file of this path. */
  readonly hasFile: (path: string) => boolean;
  readonly hasFolder: (path: string) => boolean;
  /** Folder of the shim's executable; boot files are searched beside it. */
  readonly executableFolder: string;
  /** %ProgramFiles% of a Windows host, where boot files are searched next. */
  readonly programFiles?: string;
  /** Of the host's processors; amd64 when absent. */
  readonly architecture?: "amd64" | "arm64";
  /** Build number of a Windows host; absent where the host has every feature. */
  readonly build?: number;
  /** A new GUID. */
  readonly newId: () => string;
  readonly sha256: (data: Uint8Array) => Uint8Array;
}

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

/** Whether the host has at least this build; true if its build is unknown. */
export function hasBuild({ build }: HostFacts, first: number): boolean {
  return build === undefined || build >= first;
}
