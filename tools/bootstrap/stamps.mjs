// @ts-check
/** Remembers which pieces of work are done, and for what. */
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/**
 * @typedef {object} Piece
 * @property {string} name
 * @property {string} key Says what it is done for: another key has it done again.
 * @property {readonly string[]} outcomes Paths that are there when it is done; somebody may have removed them since.
 */

export class Stamps {
  #folder;

  /** @param {string} folder */
  constructor(folder) {
    this.#folder = folder;
  }

  /** @param {string} name */
  path(name) {
    return join(this.#folder, `${name}.stamp`);
  }

  /** @param {Piece} piece */
  has({ name, key, outcomes }) {
    const stamp = this.path(name);
    return existsSync(stamp) && readFileSync(stamp, "utf8") === key && outcomes.every((path) => existsSync(path));
  }

  /** Does the work unless it has been done. What is interrupted is done again. @param {Piece} piece @param {() => Promise<unknown>} work */
  async ensure(piece, work) {
    if (this.has(piece)) return;
    this.forget(piece);
    await work();
    this.remember(piece);
  }

  /** Before the work begins, since what is there is for no key until it has ended. @param {Pick<Piece, "name">} piece */
  forget({ name }) {
    rmSync(this.path(name), { force: true });
  }

  /** @param {Omit<Piece, "outcomes">} piece */
  remember({ name, key }) {
    mkdirSync(this.#folder, { recursive: true });
    writeWhole(this.path(name), key);
  }
}

/** Nobody sees a part of it. @param {string} path @param {string} text */
export function writeWhole(path, text) {
  const part = `${path}.${process.pid}`;
  writeFileSync(part, text);
  renameSync(part, path);
}
