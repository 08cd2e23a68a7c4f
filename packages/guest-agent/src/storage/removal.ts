import { closeSync, constants, lstatSync, opendirSync, openSync, renameSync, rmdirSync, rmSync } from "node:fs";
import { basename, dirname } from "node:path";
import { setImmediate as turn } from "node:timers/promises";
import { openFolderOfMount } from "@uvm-shim/linux-calls";

/** Work in pieces, between which other work may run. */
export type InPieces<T> = Generator<undefined, T, undefined>;

/** Files removed in one piece, since a container may have written millions. */
const filesInPiece = 64;
/** Nested folders that are held open; deeper ones are moved to the top, so that the depth is unlimited. */
const deepest = 32;

/** Does all pieces at once, for work that is known to be small. */
export function atOnce<T>(work: InPieces<T>): T {
  for (;;) {
    const { done, value } = work.next();
    if (done) return value as T;
  }
}

/** Does work in pieces, between which the event loop gets its turn. */
export async function inTurns<T>(work: InPieces<T>): Promise<T> {
  for (;;) {
    const { done, value } = work.next();
    if (done) return value as T;
    await turn();
  }
}

/**
 * Removes a file, or a folder with its contents. Like Go's os.RemoveAll, it goes on after a failure and then throws the
 * first one. It follows no link and enters no mount (EXDEV), even one that replaces a folder meanwhile, since the files
 * behind it belong to others.
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
    // Repeated while anything is removed, for entries that were moved to the top or skipped.
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

  /** An overlay refuses to move folders of its lower layers, whose depth is limited by the length of paths. */
  #isMovedToTop(place: string): boolean {
    // Loaded here, since it takes a tenth of the agent's start, and hardly any container has folders as deep as this.
    const { randomUUID } = process.getBuiltinModule("node:crypto");
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
