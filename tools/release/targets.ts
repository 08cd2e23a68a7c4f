/** The systems that a release has an archive for. */

import { findProgram, type Program, programs, programVersion, type System } from "../programs.ts";
import type { Target } from "../targets.ts";

export interface ReleaseTarget {
  /** Also the folder below dist/ that is packed. */
  readonly name: Target;
  readonly system: System;
  readonly format: "tar.gz" | "zip";
  /** Where Node is in the folder; absent where it is a part of each executable. */
  readonly nodeFile?: string;
  /** Where koffi's addon is in the folder. */
  readonly addonFiles: readonly string[];
}

const linuxAddons = (triplet: string): readonly string[] =>
  ["lib", "LinuxBootFiles"].map((folder) => `${folder}/koffi/${triplet}/koffi.node`);

export const targets: readonly ReleaseTarget[] = [
  {
    name: "linux-x64",
    system: "linux",
    format: "tar.gz",
    nodeFile: "lib/node",
    addonFiles: linuxAddons("linux_x64"),
  },
  {
    name: "linux-arm64",
    system: "linux",
    format: "tar.gz",
    nodeFile: "lib/node",
    addonFiles: linuxAddons("linux_arm64"),
  },
  { name: "win32-x64", system: "win32", format: "zip", addonFiles: [] },
];

/** Apps are released together, in one version. */
export function releaseVersion(): string {
  return programVersion(findProgram("shim-lcow"));
}

/** The folder in an archive, and its name without ending. */
export function archiveName(target: ReleaseTarget): string {
  return `uvm-shim-${releaseVersion()}-${target.name}`;
}

export function programsOf(target: ReleaseTarget): readonly Program[] {
  return programs.filter(({ systems }) => systems.includes(target.system));
}
