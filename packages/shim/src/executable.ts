import { realpathSync } from "node:fs";
import path from "node:path";
import { isSea } from "node:sea";

/** How this program is run again: as the executable that it is, or as the script of a runtime. */
export function ownCommand(host: NodeJS.Process): { readonly file: string; readonly arguments: readonly string[] } {
  return { file: host.execPath, arguments: isSea() ? [] : [...host.execArgv, host.argv[1] ?? ""] };
}

/** The folder of the executable, or of the script. */
export function ownFolder(host: NodeJS.Process): string {
  return path.dirname(realpathSync(isSea() ? host.execPath : (host.argv[1] ?? host.execPath)));
}
