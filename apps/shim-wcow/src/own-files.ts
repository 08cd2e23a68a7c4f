import { readFile, rm, writeFile } from "node:fs/promises";
import path from "node:path";

/** In the bundle; one path in a line. `delete` finds by it what a killed shim has left outside of the bundle. */
function listIn(bundle: string): string {
  return path.join(bundle, "files-of-vm.txt");
}

/** Records files that only the VM of this bundle uses, before they are made. */
export async function recordOwnFiles(bundle: string, files: readonly string[]): Promise<void> {
  if (files.length > 0) await writeFile(listIn(bundle), files.map((file) => `${file}\n`).join(""));
}

/** Removes the files that are recorded. Idempotent; succeeds without a record. */
export async function removeOwnFiles(bundle: string): Promise<void> {
  const list = await readFile(listIn(bundle), "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT" || error.code === "ENOTDIR") return "";
    throw error;
  });
  for (const file of list.split("\n")) if (file !== "") await rm(file, { force: true });
  await rm(listIn(bundle), { force: true });
}
