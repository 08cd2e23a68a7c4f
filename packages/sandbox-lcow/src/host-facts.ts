import type { PathGrammar } from "./paths.ts";

/** What the builder must know of the host; injected, so that a document can be built for any host on any machine. */
export interface HostFacts {
  readonly processors: number;
  /** Memory of the machine in MB; absent where it is not known. */
  readonly memoryInMb?: number;
  readonly pathGrammar: PathGrammar;
  /** Whether there is a file of this path. */
  readonly hasFile: (path: string) => boolean;
  readonly hasFolder: (path: string) => boolean;
  /** Where the shim's executable stands; boot files are looked for beside it. */
  readonly executableFolder: string;
  /** %ProgramFiles% of a Windows host: where boot files are looked for next. */
  readonly programFiles?: string;
  /** Of the host's processors; amd64 when absent. */
  readonly architecture?: "amd64" | "arm64";
  /** Build number of a Windows host; absent where the host has every feature. */
  readonly build?: number;
  /** A new GUID. */
  readonly newId: () => string;
  readonly sha256: (data: Uint8Array) => Uint8Array;
}

/** Whether the host has what came with a build. */
export function hasBuild({ build }: HostFacts, first: number): boolean {
  return build === undefined || build >= first;
}
