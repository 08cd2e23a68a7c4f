import { createHash } from "node:crypto";
import { readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { HostError } from "../../host-error.ts";

/**
 * Writes an addon to a file, since Windows loads libraries from files only, and answers with its path. It lies beside
 * the executable: whoever may write there may replace the executable itself, and nobody else can put a file of theirs
 * in its place. What is there already is taken when it is the same, byte by byte.
 *
 * @throws HostError Internal when there is no such file and none can be written.
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
    // A loaded library cannot be replaced; another shim may have placed the same one meanwhile.
    if (holds(file, addon)) return file;
    throw new HostError("Internal", `it cannot be written, and calls to Windows need it: ${(cause as Error).message}`, {
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
