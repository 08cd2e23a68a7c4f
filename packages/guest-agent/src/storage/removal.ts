import { randomUUID } from "node:crypto";
import { closeSync, constants, lstatSync, opendirSync, openSync, renameSync, rmdirSync, rmSync } from "node:fs";
import { basename, dirname } from "node:path";
import { setImmediate as turn } from "node:timers/promises";
import { openFolderOfMount } from "@uvm-shim/linux-calls";

/** Work in pieces, between which others may have their turn. What comes of it is returned. */
export type InPieces<T> = Generator<undefined, T, undefined>;

/** Removed in one piece: a container may have written files by the million. */
const filesInPiece = 64;
/** Folders within each other that are held; what lies deeper is moved to the top, so that no depth is too great. */
const deepest = 32;

/** All of it at once, for what is known to be small. */
export function atOnce<T>(work: InPieces<T>): T {
  for (;;) {
    const { done, value } = work.next();
    if (done) return value as T;
  }
}

export async function inTurns<T>(work: InPieces<T>): Promise<T> {
  for (;;) {
    const { done, value } = work.next();
    if (done) return value as T;
    await turn();
  }
}

/**
 * Removes a file, or a folder with all that is in it. Goes on past what cannot be removed, as Go's os.RemoveAll does, and
 * then throws the first refusal. A link that takes the place of a folder meanwhile is not followed, nor is what is mounted
 * there meanwhile looked into: that is EXDEV, and the files behind it are somebody else's.
 */
export function* removeAll(path: string): InPieces<void> {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined) return;
  if (!found.isDirectory()) {
    rmSync(path, { force: true });
    return;
  }
  const parent = openSync(dirname(path), constants.O_RDONLY | constants.O_DIRECTORY);
  let top: number;
  try {
    top = openFolderOfMount(parent, basename(path));
  } finally {
    closeSync(parent);
  }
  try {
    yield* new Removal(heldPath(top)).empty(top, 1);
  } finally {
    closeSync(top);
  }
  rmdirSync(path);
}

class Removal {
  readonly #top: string;
  #files = 0;

  constructor(top: string) {
    this.#top = top;
  }

  *empty(folder: number, depth: number): InPieces<void> {
    let refusal: { readonly error: unknown } | undefined;
    let removed: number;
    // Once more after something was: what was moved to the top meanwhile, or was passed over, is found then.
    do {
      removed = 0;
      refusal = undefined;
      const names = opendirSync(heldPath(folder));
      try {
        for (let entry = names.readSync(); entry !== null; entry = names.readSync()) {
          try {
            yield* this.#remove(folder, entry.name, depth);
            removed += 1;
          } catch (error) {
            refusal ??= { error };
          }
        }
      } finally {
        names.closeSync();
      }
    } while (removed > 0);
    if (refusal !== undefined) throw refusal.error;
  }

  *#remove(parent: number, name: string, depth: number): InPieces<void> {
    this.#files += 1;
    if (this.#files % filesInPiece === 0) yield;
    const place = `${heldPath(parent)}/${name}`;
    const found = lstatSync(place, { throwIfNoEntry: false });
    if (found === undefined) return;
    if (!found.isDirectory()) {
      rmSync(place, { force: true });
      return;
    }
    if (depth >= deepest && this.#isMovedToTop(place)) return;
    const folder = openFolderOfMount(parent, name);
    try {
      yield* this.empty(folder, depth + 1);
    } finally {
      closeSync(folder);
    }
    rmdirSync(place);
  }

  /** An overlay refuses to move a folder of its lower layers, which are as deep as a path is long. */
  #isMovedToTop(place: string): boolean {
    try {
      renameSync(place, `${this.#top}/${randomUUID()}`);
      return true;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "EXDEV") return false;
      throw error;
    }
  }
}

function heldPath(descriptor: number): string {
  return `/proc/self/fd/${descriptor}`;
}
