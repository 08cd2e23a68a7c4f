// @ts-check
/** Whether files are as they were: told by what the file system keeps of each, without reading any. */
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";

/**
 * A path relative to the root, and when it last changed in any way, its size and its number; a path alone was not there.
 * Nothing can set the time of the last change back, as it can that of the content.
 *
 * @typedef {readonly [path: string, changed?: number, size?: number, inode?: number]} Entry
 */

/** What two changes in this many milliseconds left may look the same: kernels keep the time in steps. */
const COARSE_MS = 20;

/**
 * @param {string} root
 * @param {{ readonly folders: readonly string[], readonly files: readonly string[], readonly without: readonly string[] }} parts
 *   Folders are taken with all in them and below, but for the names in `without`.
 * @returns {Entry[]}
 */
export function takeSnapshot(root, { folders, files, without }) {
  const left = new Set(without);
  /** @param {string} folder @returns {Entry[]} */
  const below = (folder) => {
    const own = entryOf(root, folder);
    if (own.length === 1) return [own];
    const inside = readdirSync(join(root, folder), { withFileTypes: true })
      .filter(({ name }) => !left.has(name))
      .flatMap((each) => {
        const path = `${folder}/${each.name}`;
        return each.isDirectory() ? below(path) : [entryOf(root, path)];
      });
    return [own, ...inside];
  };
  return [...folders.flatMap(below), ...files.map((file) => entryOf(root, file))];
}

/** Whether a change at this time or later cannot look like none. @param {readonly Entry[]} entries @param {number} now */
export function isSettled(entries, now) {
  return entries.every(([, changed = 0]) => changed < now - COARSE_MS);
}

/** @param {string} root @param {readonly Entry[]} entries */
export function isUnchanged(root, entries) {
  return entries.every(([path, ...was]) => {
    const [, ...is] = entryOf(root, path);
    return is.length === was.length && is.every((value, index) => value === was[index]);
  });
}

/** @param {string} root @param {string} path @returns {Entry} */
function entryOf(root, path) {
  const stat = statSync(join(root, path), { throwIfNoEntry: false });
  if (stat === undefined) return [path];
  // That of a folder has no meaning, and differs from one file system to the next.
  return [path, stat.ctimeMs, stat.isDirectory() ? 0 : stat.size, stat.ino];
}
