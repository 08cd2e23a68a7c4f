import { realpathSync } from "node:fs";
import path from "node:path";
import { isSea } from "node:sea";

/**
 * Of V8, in MiB: by default a program that has allocated much keeps tens of MiB for what it is going to allocate next,
 * and a machine runs a shim for each pod.
 */
const smallYoungGeneration = "--max-semi-space-size=2";

/** How this program is run again: as the executable that it is, which has its options in it, or as a runtime's script. */
export function ownCommand(host: NodeJS.Process): { readonly file: string; readonly arguments: readonly string[] } {
  const { execPath: file, execArgv, argv } = host;
  return { file, arguments: isSea() ? [] : [...execArgv, smallYoungGeneration, argv[1] ?? ""] };
}

/** The folder of the executable, or of the script. */
export function ownFolder(host: NodeJS.Process): string {
  return path.dirname(realpathSync(isSea() ? host.execPath : (host.argv[1] ?? host.execPath)));
}
