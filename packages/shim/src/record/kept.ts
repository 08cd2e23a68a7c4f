import { open, readdir, rm, stat } from "node:fs/promises";
import path from "node:path";
import { type HeaderLine, longestRecordLine, parseRecordLine } from "./lines.ts";
import { newOf } from "./record-file.ts";

/** Records of shims that no longer run. */
export const mostKept = 64;

/** Whether the process that writes a record is still there, and has not ended the record. */
export type Lives = (identity: Pick<HeaderLine, "pid" | "processStartTime">, file: string) => Promise<boolean>;

/** Removes the oldest records of shims that no longer run, beyond the number to keep. */
export async function removeOldRecords(folder: string, lives: Lives, most = mostKept): Promise<void> {
  const files = await recordFiles(folder);
  if (files.length <= most) return;
  const dated = await Promise.all(files.map(async (file) => ({ file, changed: await changeOf(file) })));
  let kept = 0;
  for (const { file, changed } of dated.toSorted((a, b) => (b.changed ?? 0) - (a.changed ?? 0))) {
    if (changed === undefined) continue;
    const header = await headerOf(file).catch(() => undefined);
    if (header !== undefined && (await lives(header, file))) continue;
    kept += 1;
    // One that cannot be removed must not keep the others, nor fail the end of a shim.
    if (kept <= most) continue;
    for (const old of [file, newOf(file)]) await rm(old, { force: true }).catch(() => {});
  }
}

/** The paths of all records in a folder; none if there is no folder. */
export async function recordFiles(folder: string): Promise<readonly string[]> {
  const namespaces = await readdir(folder, { withFileTypes: true }).catch(() => []);
  const found = await Promise.all(
    namespaces
      .filter((entry) => entry.isDirectory())
      .map(async ({ name }) => {
        const names = await readdir(path.join(folder, name)).catch(() => []);
        return names.filter((file) => file.endsWith(".jsonl")).map((file) => path.join(folder, name, file));
      }),
  );
  return found.flat();
}

/** Undefined for a file that is gone: other shims remove old records too. */
async function changeOf(file: string): Promise<number | undefined> {
  const found = await stat(file).catch(() => undefined);
  return found?.mtimeMs;
}

async function headerOf(file: string): Promise<HeaderLine | undefined> {
  const handle = await open(file, "r");
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(longestRecordLine), 0, longestRecordLine, 0);
    const first = buffer.toString("utf8", 0, bytesRead).trimStart().split("\n", 1)[0] ?? "";
    const line = parseRecordLine(first);
    return line?.type === "header" ? line : undefined;
  } finally {
    await handle.close();
  }
}
