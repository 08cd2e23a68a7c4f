import type { ProgramArchitecture } from "./program.ts";
import { sandboxProgram } from "./program.ts";

/**
 * By which system the host runs. Windows keeps no permission to run a file, and what shows its files to others may go by
 * the name.
 */
export const sandboxProgramNames = { posix: "sandbox", windows: "sandbox.exe" } as const;
export type SandboxHost = keyof typeof sandboxProgramNames;

/** A directory or a file of the root file system of a pod's own sandbox container, by its path below it. */
export type SandboxRootEntry =
  | { readonly path: string; readonly kind: "directory" }
  | { readonly path: string; readonly kind: "file"; readonly content: Uint8Array; readonly isProgram: boolean };

const directories = ["dev", "etc", "proc", "sys"];
/** Guests open these, or mount over them. */
const emptyFiles = ["etc/hostname", "etc/hosts", "etc/resolv.conf"];

/** All of it, directories before what is in them. Nobody writes to it, and there is nothing in it to be read. */
export function sandboxRootEntries(architecture: ProgramArchitecture, host: SandboxHost): readonly SandboxRootEntry[] {
  return [
    ...directories.map((path) => ({ path, kind: "directory" as const })),
    ...emptyFiles.map((path) => ({ path, kind: "file" as const, content: new Uint8Array(), isProgram: false })),
    { path: sandboxProgramNames[host], kind: "file", content: sandboxProgram(architecture), isProgram: true },
  ];
}
