/** Archives whose bytes depend on nothing but the files in them: not on their times, owners or order, nor on the machine. */
import { createWriteStream, readdirSync, type Stats, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { finished } from "node:stream/promises";
import { gzipSync } from "node:zlib";
import { create, type WriteEntry } from "tar";
import { ZipFile } from "yazl";

/** Packs a folder, whose name is the first part of each path in the archive, with one time for everything. */
export async function packTar(folder: string, archive: string, date: Date): Promise<void> {
  const chunks: Buffer[] = [];
  const name = folder.slice(dirname(folder).length + 1);
  const entries = ["", ...entriesBelow(folder)].map((path) => join(name, path));
  const options = {
    ...{ cwd: dirname(folder), portable: true, noDirRecurse: true, noPax: true, mtime: date, strict: true },
    onWriteEntry: ({ stat }: WriteEntry) => {
      if (stat !== undefined) stat.mode = modeOf(stat);
    },
  };
  for await (const chunk of create(options, entries)) chunks.push(chunk);
  writeFileSync(archive, gzipSync(Buffer.concat(chunks), { level: 9 }));
}

/** As `packTar`, in zip's form, which has local times: those of UTC. */
export async function packZip(folder: string, archive: string, date: Date): Promise<void> {
  const zip = new ZipFile();
  const output = zip.outputStream.pipe(createWriteStream(archive));
  const name = folder.slice(dirname(folder).length + 1);
  const mtime = new Date(date.getTime() + date.getTimezoneOffset() * 60_000);
  for (const path of entriesBelow(folder)) {
    const file = join(folder, path);
    const stat = statSync(file);
    if (stat.isDirectory()) continue;
    zip.addFile(file, `${name}/${path}`, { mtime, mode: modeOf(stat), forceDosTimestamp: true });
  }
  zip.end();
  await finished(output);
}

/** Whoever packs may have made the files for himself alone. */
function modeOf(stat: Stats): number {
  return (stat.mode & 0o170000) | (stat.isDirectory() || (stat.mode & 0o100) !== 0 ? 0o755 : 0o644);
}

/** The paths of everything in a folder, with slashes, in an order that no locale changes; folders come before their files. */
export function entriesBelow(folder: string): readonly string[] {
  return readdirSync(folder, { recursive: true, encoding: "utf8" })
    .map((path) => path.replaceAll("\\", "/"))
    .sort();
}
