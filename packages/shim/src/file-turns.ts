import { readFileSync } from "node:fs";
import path from "node:path";

interface Turn {
  readonly path: string;
  readonly isGivenUp: () => boolean;
  readonly begin: () => void;
  /** Found out once it matters. */
  fileSystem?: string;
}

/**
 * Who may ask a file system something now. One that does not answer keeps for ever what it was asked in, so none may
 * have more than half of the turns that the others leave: however many paths of it are named, others have theirs.
 */
export class FileTurns {
  readonly #most: number;
  readonly #fileSystemOf: (path: string) => string;
  readonly #taken = new Set<Turn>();
  #waiting: Turn[] = [];

  constructor(most: number, fileSystemOf: (path: string) => string = fileSystemOnHost) {
    this.#most = most;
    this.#fileSystemOf = fileSystemOf;
  }

  /** Makes the call in its turn, or rejects without it when it is given up before. */
  async run<T>(path: string, isGivenUp: () => boolean, call: () => Promise<T>, givenUp: () => Error): Promise<T> {
    const turn = await new Promise<Turn>((resolve) => {
      const waiting: Turn = { path, isGivenUp, begin: () => resolve(waiting) };
      this.#waiting.push(waiting);
      this.#next();
    });
    try {
      if (isGivenUp()) throw givenUp();
      return await call();
    } finally {
      this.#taken.delete(turn);
      this.#next();
    }
  }

  #next(): void {
    this.#waiting = this.#waiting.filter((turn) => {
      if (!turn.isGivenUp()) {
        if (!this.#isFree(turn)) return true;
        this.#taken.add(turn);
      }
      turn.begin();
      return false;
    });
  }

  #isFree(turn: Turn): boolean {
    const taken = this.#taken.size;
    // Within the first half no share can be used up, and nobody needs to know whose it is.
    if (taken < this.#most / 2) return true;
    if (taken >= this.#most) return false;
    const own = [...this.#taken].filter((other) => this.#whose(other) === this.#whose(turn)).length;
    return own < Math.ceil((this.#most - (taken - own)) / 2);
  }

  #whose(turn: Turn): string {
    turn.fileSystem ??= this.#fileSystemOf(turn.path);
    return turn.fileSystem;
  }
}

/** The file system that a path is in, without asking that: links are not followed. */
function fileSystemOnHost(file: string): string {
  if (process.platform === "win32") return path.parse(path.resolve(file)).root.toLowerCase();
  return fileSystemIn(readFileSync("/proc/self/mountinfo", "utf8"), path.resolve(file));
}

/** By mountinfo (proc(5)): the device of the last one of the deepest mounts above. Several mounts may be of one file system. */
export function fileSystemIn(mountinfo: string, file: string): string {
  let found = "";
  let deepest = -1;
  for (const line of mountinfo.split("\n")) {
    const [, , device = "", , point = ""] = line.split(" ", 5);
    const place = point.replace(/\\([0-7]{3})/g, (_, digits: string) =>
      String.fromCharCode(Number.parseInt(digits, 8)),
    );
    const isAbove = place === "/" || file === place || file.startsWith(`${place}/`);
    if (!isAbove || place === "" || place.length < deepest) continue;
    deepest = place.length;
    found = device;
  }
  return found;
}
