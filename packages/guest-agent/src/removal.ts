import { randomUUID } from "node:crypto";
import { closeSync, constants, lstatSync, opendirSync, openSync, renameSync, rmdirSync, rmSync } from "node:fs";
import { setImmediate as turn } from "node:timers/promises";

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
 * then throws the first refusal. A link that takes the place of a folder meanwhile is not followed.
 */
export function* removeAll(path: string): InPieces<void> {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined) return;
  if (!found.isDirectory()) {
    rmSync(path, { force: true });
    return;
  }
  const top = holdFolder(path);
  try {
    yield* new Removal(heldPath(top)).empty(heldPath(top), 1);
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

  *empty(folder: string, depth: number): InPieces<void> {
    const errors: unknown[] = [];
    let removed: number;
    // Once more after something was: what was moved to the top meanwhile, or was passed over, is found then.
    do {
      removed = 0;
      const names = opendirSync(folder);
      try {
        for (let entry = names.readSync(); entry !== null; entry = names.readSync()) {
          try {
            yield* this.#remove(`${folder}/${entry.name}`, depth);
            removed += 1;
          } catch (error) {
            errors.push(error);
          }
        }
      } finally {
        names.closeSync();
      }
    } while (removed > 0);
    if (errors.length > 0) throw errors[0];
  }

  *#remove(place: string, depth: number): InPieces<void> {
    this.#files += 1;
    if (this.#files % filesInPiece === 0) yield;
    const found = lstatSync(place, { throwIfNoEntry: false });
    if (found === undefined) return;
    if (!found.isDirectory()) {
      rmSync(place, { force: true });
      return;
    }
    if (depth >= deepest) {
      renameSync(place, `${this.#top}/${randomUUID()}`);
      return;
    }
    const folder = holdFolder(place);
    try {
      yield* this.empty(heldPath(folder), depth + 1);
    } finally {
      closeSync(folder);
    }
    rmdirSync(place);
  }
}

function holdFolder(path: string): number {
  return openSync(path, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW);
}

function heldPath(descriptor: number): string {
  return `/proc/self/fd/${descriptor}`;
}
