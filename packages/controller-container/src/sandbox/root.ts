import type { ProgramArchitecture } from "./program.ts";
import { sandboxProgram } from "./program.ts";

/**
 * Names by the host's operating system. Windows has no execute permission, so a share of its files may go by the
 * extension.
 */
export const sandboxProgramNames = { posix: "sandbox", windows: "sandbox.exe" } as const;
/** Whose file system the root stands on: a POSIX system's or Windows'. */
export type SandboxHost = keyof typeof sandboxProgramNames;

/** A directory or file in the root file system of the pod's own sandbox container. */
export type SandboxRootEntry =
  | { readonly path: string; readonly kind: "directory" }
  | { readonly path: string; readonly kind: "file"; readonly content: Uint8Array; readonly isProgram: boolean };

const directories = ["dev", "etc", "proc", "sys"];
/** Files that guests open or mount over. */
const emptyFiles = ["etc/hostname", "etc/hosts", "etc/resolv.conf"];

/** All entries, directories before their content. The root is never written to and holds no secrets. */
export function sandboxRootEntries(architecture: ProgramArchitecture, host: SandboxHost): readonly SandboxRootEntry[] {
  return [
    ...directories.map((path) => ({ path, kind: "directory" as const })),
    ...emptyFiles.map((path) => ({ path, kind: "file" as const, content: new Uint8Array(), isProgram: false })),
    { path: sandboxProgramNames[host], kind: "file", content: sandboxProgram(architecture), isProgram: true },
  ];
}
