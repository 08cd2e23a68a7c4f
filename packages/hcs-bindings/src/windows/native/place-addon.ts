import { createHash } from "node:crypto";
import { readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { HostError } from "../../host-error.ts";

/**
 * Writes an addon to a file, since Windows loads libraries only from files, and returns its path. The file is placed
 * beside the executable: only users who can replace the executable can replace the addon. An existing file is used if
 * its content is the same.
 *
 * @throws HostError Internal if the file does not exist and cannot be written.
 */
export function placeAddon(addon: Uint8Array, executable: string): string {
  const digest = createHash("sha256").update(addon).digest("hex");
  const file = path.join(path.dirname(executable), `uvm-shim-${digest.slice(0, 16)}.node`);
  if (holds(file, addon)) return file;
  const fresh = `${file}.${process.pid}`;
  try {
    writeFileSync(fresh, addon, { flag: "wx", mode: 0o755 });
    renameSync(fresh, file);
  } catch (cause) {
    rmSync(fresh, { force: true });
    // Windows cannot replace a loaded library; another shim may have written the same one meanwhile.
    if (holds(file, addon)) return file;
    throw new HostError("Internal", `cannot write the library for calls to Windows: ${(cause as Error).message}`, {
      operation: "place addon",
      id: file,
      cause,
    });
  }
  return file;
}

function holds(file: string, content: Uint8Array): boolean {
  try {
    return readFileSync(file).equals(content);
  } catch {
    return false;
  }
}
