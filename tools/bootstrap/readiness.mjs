// @ts-check
/** Whether a command can start at once: nothing that it is made of has changed since it was last made. */
import { spawnSync } from "node:child_process";
import { readFileSync, rmSync } from "node:fs";
import { isSettled, isUnchanged, takeSnapshot } from "./snapshot.mjs";
import { writeWhole } from "./stamps.mjs";

const SETTLING_MS = 50;

/**
 * @typedef {import("./snapshot.mjs").Entry} Entry
 * @typedef {Parameters<typeof takeSnapshot>[1]} Parts
 */

export class Readiness {
  #root;
  #file;
  #key;

  /**
   * @param {string} root
   * @param {string} file Where it is remembered.
   * @param {string} key What it depends on besides files.
   */
  constructor(root, file, key) {
    this.#root = root;
    this.#file = file;
    this.#key = key;
  }

  isReady() {
    try {
      const { key, entries } = JSON.parse(readFileSync(this.#file, "utf8"));
      return key === this.#key && isUnchanged(this.#root, entries);
    } catch {
      return false;
    }
  }

  /**
   * Makes what the command needs and remembers that. The sources are looked at before, so that what changes meanwhile is not
   * taken for what was made; that is done again if `make` has changed any itself.
   *
   * @param {{ readonly sources: Parts, readonly results: Parts }} parts
   * @param {() => Promise<boolean>} make Answers whether it could.
   */
  async ensure({ sources, results }, make) {
    rmSync(this.#file, { force: true });
    let before = await this.#look(sources);
    if (!(await make())) return;
    if (!isUnchanged(this.#root, before.entries)) {
      before = await this.#look(sources);
      if (!(await make())) return;
    }
    if (!before.isSettled) return;
    const entries = [...before.entries, ...takeSnapshot(this.#root, results)];
    writeWhole(this.#file, JSON.stringify({ key: this.#key, entries }));
  }

  /** @param {Parts} sources @returns {Promise<{ readonly entries: readonly Entry[], readonly isSettled: boolean }>} */
  async #look(sources) {
    for (let attempt = 1; ; attempt += 1) {
      const now = Date.now();
      const entries = takeSnapshot(this.#root, sources);
      // Files of the future never settle.
      if (attempt === 2 || isSettled(entries, now)) return { entries, isSettled: isSettled(entries, now) };
      await new Promise((resolve) => setTimeout(resolve, SETTLING_MS));
    }
  }
}

/** The commit that is checked out, which programs tell as their own. @param {string} root @param {NodeJS.ProcessEnv} env */
export function checkedOut(root, env) {
  const told = env.UVM_SHIM_COMMIT;
  if (told) return told;
  const { status, stdout } = spawnSync("git", ["rev-parse", "--verify", "HEAD"], { cwd: root, encoding: "utf8" });
  return status === 0 ? stdout.trim() : "unknown";
}
