import { createHash, randomUUID } from "node:crypto";
import { statSync } from "node:fs";
import { availableParallelism, release } from "node:os";
import type { HostFacts } from "@uvm-shim/sandbox-lcow";
import { hostPathGrammar } from "./host.ts";

/** What documents are made from of this machine. */
export function hostFacts(executableFolder: string, env: NodeJS.ProcessEnv): HostFacts {
  return {
    processors: availableParallelism(),
    pathGrammar: hostPathGrammar,
    hasFile: (file) => statSync(file, { throwIfNoEntry: false })?.isFile() ?? false,
    hasFolder: (folder) => statSync(folder, { throwIfNoEntry: false })?.isDirectory() ?? false,
    executableFolder,
    newId: randomUUID,
    sha256: (data) => createHash("sha256").update(data).digest(),
    ...(process.platform === "win32" && windowsFacts(env)),
  };
}

function windowsFacts({ ProgramFiles: programFiles }: NodeJS.ProcessEnv): Partial<HostFacts> {
  // The system's release is major, minor and build.
  return { ...(programFiles !== undefined && { programFiles }), build: Number(release().split(".")[2]) };
}
