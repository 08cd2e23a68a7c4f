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
  /** The name of the folder with boot files of Linux beside the executable; `LinuxBootFiles` when absent. */
  readonly linuxBootFolder?: string;
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

/** Whether the host has at least this build; true if its build is unknown. */
export function hasBuild({ build }: HostFacts, first: number): boolean {
  return build === undefined || build >= first;
}
