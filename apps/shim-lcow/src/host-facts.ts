import { createHash, randomUUID } from "node:crypto";
import type { Stats } from "node:fs";
import { stat } from "node:fs/promises";
import { availableParallelism, release, totalmem } from "node:os";
import { type Clock, systemClock } from "@uvm-shim/lifecycle";
import type { HostFacts } from "@uvm-shim/sandbox-lcow";
import { withinBound } from "@uvm-shim/shim";
import { hostPathGrammar } from "./host.ts";

/**
 * Builds from what is known of this machine. Which files there are is asked of file systems that may not answer, so
 * never while something is built: what was built without all that it asked for is built again with the answers.
 */
export async function withHostFacts<T>(
  executableFolder: string,
  env: NodeJS.ProcessEnv,
  build: (facts: HostFacts) => T,
  clock: Clock = systemClock,
): Promise<T> {
  const known = new Map<string, Stats | undefined>();
  for (;;) {
    const asked = new Set<string>();
    const look = (file: string): Stats | undefined => {
      if (!known.has(file)) asked.add(file);
      return known.get(file);
    };
    const facts: HostFacts = {
      processors: availableParallelism(),
      memoryInMb: Math.floor(totalmem() / 2 ** 20),
      pathGrammar: hostPathGrammar,
      hasFile: (file) => look(file)?.isFile() ?? false,
      hasFolder: (folder) => look(folder)?.isDirectory() ?? false,
      executableFolder,
      newId: randomUUID,
      sha256: (data) => createHash("sha256").update(data).digest(),
      ...(process.platform === "win32" && windowsFacts(env)),
    };
    try {
      const built = build(facts);
      if (asked.size === 0) return built;
    } catch (error) {
      if (asked.size === 0) throw error;
    }
    for (const file of asked)
      known.set(
        file,
        await withinBound(
          file,
          () => statOf(file),
          () => {},
          { clock },
        ),
      );
  }
}

/** Undefined for what is not there. */
async function statOf(file: string): Promise<Stats | undefined> {
  try {
    return await stat(file);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENOTDIR") return undefined;
    throw error;
  }
}

function windowsFacts({ ProgramFiles: programFiles }: NodeJS.ProcessEnv): Partial<HostFacts> {
  // The system's release is major, minor and build.
  return { ...(programFiles !== undefined && { programFiles }), build: Number(release().split(".")[2]) };
}
