import { mkdirSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";

/** A folder that outlives runs, outside the repository; made when it is missing. */
export function cacheFolder(name: string): string {
  const folder = join(process.env.XDG_CACHE_HOME ?? join(homedir(), ".cache"), "uvm-shim", name);
  mkdirSync(folder, { recursive: true });
  return folder;
}
