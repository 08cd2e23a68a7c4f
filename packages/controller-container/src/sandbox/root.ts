import type { ProgramArchitecture } from "./program.ts";
import { sandboxProgram } from "./program.ts";

export const sandboxProgramName = "sandbox";

/** A directory or a file of the root file system of a pod's own sandbox container, by its path below it. */
export type SandboxRootEntry =
  | { readonly path: string; readonly kind: "directory" }
  | { readonly path: string; readonly kind: "file"; readonly content: Uint8Array; readonly isProgram: boolean };

const directories = ["dev", "etc", "proc", "sys"];
/** Guests open these, or mount over them. */
const emptyFiles = ["etc/hostname", "etc/hosts", "etc/resolv.conf"];

/** All of it, directories before what is in them. Nobody writes to it, and there is nothing in it to be read. */
export function sandboxRootEntries(architecture: ProgramArchitecture): readonly SandboxRootEntry[] {
  return [
    ...directories.map((path) => ({ path, kind: "directory" as const })),
    ...emptyFiles.map((path) => ({ path, kind: "file" as const, content: new Uint8Array(), isProgram: false })),
    { path: sandboxProgramName, kind: "file", content: sandboxProgram(architecture), isProgram: true },
  ];
}
