import type { Stats } from "node:fs";
import { stat } from "node:fs/promises";
import { availableParallelism, release, totalmem } from "node:os";
import { type Clock, systemClock } from "@uvm-shim/lifecycle";
import type { HostFacts } from "@uvm-shim/sandbox-common";
import { callFileSystem, randomUuid } from "@uvm-shim/shim";
import { hostPathGrammar } from "./host.ts";

/** Beside the executables, made by `npm run boot-files`. */
const machineBootFolder = "LinuxVmBootFiles";

/**
 * Builds from facts about this machine. `build` is synchronous, and file systems may not answer, so files are looked up
 * between builds: a build that needed unknown files is repeated once they are known.
 */
export async function withHostFacts<T>(
  executableFolder: string,
  env: NodeJS.ProcessEnv,
  build: (facts: HostFacts) => T,
  clock: Clock = systemClock,
): Promise<T> {
  const known = new Map<string, Stats | undefined>();
  for (;;) {
    const unknown = new Set<string>();
    const lookUp = (file: string): Stats | undefined => {
      if (!known.has(file)) unknown.add(file);
      return known.get(file);
    };
    const facts: HostFacts = {
      processors: availableParallelism(),
      memoryInMb: Math.floor(totalmem() / 2 ** 20),
      pathGrammar: hostPathGrammar,
      hasFile: (file) => lookUp(file)?.isFile() ?? false,
      hasFolder: (folder) => lookUp(folder)?.isDirectory() ?? false,
      executableFolder,
      newId: randomUuid,
      // Only of the policies of confidential VMs.
      sha256: (data) => process.getBuiltinModule("node:crypto").createHash("sha256").update(data).digest(),
      ...(process.platform === "win32" ? windowsFacts(env) : emulatedFacts(env)),
    };
    try {
      const built = build(facts);
      if (unknown.size === 0) return built;
    } catch (error) {
      if (unknown.size === 0) throw error;
    }
    for (const file of unknown)
      known.set(
        file,
        await callFileSystem(
          file,
          () => statOf(file),
          () => {},
          { clock },
        ),
      );
  }
}

/** Undefined when the file does not exist. */
async function statOf(file: string): Promise<Stats | undefined> {
  try {
    return await stat(file);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENOTDIR") return undefined;
    throw error;
  }
}

/** Build number of a Windows host; undefined on any other, which has every feature. */
export function hostBuild(): number | undefined {
  // Windows' release has the form major.minor.build.
  return process.platform === "win32" ? Number(release().split(".")[2]) : undefined;
}

/** Of the emulated host, which boots virtual machines out of a folder of their own. */
function emulatedFacts({ UVM_SHIM_GUEST: guest }: NodeJS.ProcessEnv): Partial<HostFacts> {
  return guest === "qemu" ? { linuxBootFolder: machineBootFolder } : {};
}

function windowsFacts({ ProgramFiles: programFiles }: NodeJS.ProcessEnv): Partial<HostFacts> {
  const build = hostBuild();
  return { ...(programFiles !== undefined && { programFiles }), ...(build !== undefined && { build }) };
}
