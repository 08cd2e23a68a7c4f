import { readFileSync } from "node:fs";
import path from "node:path";

interface Turn {
  readonly path: string;
  readonly isGivenUp: () => boolean;
  readonly begin: () => void;
  /** Set once it has lasted longer than anything that answers. */
  isOverdue: boolean;
  /** Found out once it matters. */
  fileSystem?: string;
}

/** What is asked, as those see it who wait for their turns. */
export interface FileQuestionAsked<T> {
  readonly path: string;
  /** Whether nobody wants the answer any more. */
  readonly isGivenUp: () => boolean;
  readonly call: () => Promise<T>;
  readonly givenUp: () => Error;
  /** Settles when an answer is overdue. */
  readonly overdue?: Promise<void>;
}

export interface MostTurns {
  /** Of those whose answers are not overdue. */
  readonly atOnce: number;
  /** Of all: each that is overdue keeps a thread until its file system answers, if ever. */
  readonly inAll: number;
}

/**
 * Who may ask a file system something now. One that does not answer keeps for ever what it was asked in, so none may
 * have more than half of the turns that the others leave: however many paths of it are named, others have theirs. Turns
 * that are overdue are made up for by others, or a few such file systems would keep all of them; there is an end to that
 * as well.
 */
export class FileTurns {
  readonly #most: MostTurns;
  readonly #fileSystemOf: (path: string) => string;
  readonly #taken = new Set<Turn>();
  #waiting: Turn[] = [];

  constructor(most: MostTurns, fileSystemOf: (path: string) => string = fileSystemOnHost) {
    this.#most = most;
    this.#fileSystemOf = fileSystemOf;
  }

  /** Makes the call in its turn, or rejects without it when it is given up before. */
  async run<T>({ path, isGivenUp, call, givenUp, overdue }: FileQuestionAsked<T>): Promise<T> {
    const turn = await new Promise<Turn>((resolve) => {
      const waiting: Turn = { path, isGivenUp, begin: () => resolve(waiting), isOverdue: false };
      this.#waiting.push(waiting);
      this.#next();
    });
    void overdue?.then(() => {
      turn.isOverdue = true;
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
    const taken = [...this.#taken];
    const { atOnce, inAll } = this.#most;
    // Within the first half no share can be used up, and nobody needs to know whose it is.
    if (taken.length < atOnce / 2) return true;
    const inTime = taken.filter((other) => !other.isOverdue);
    if (inTime.length >= atOnce || taken.length >= inAll) return false;
    const isOther = (other: Turn): boolean => this.#whose(other) !== this.#whose(turn);
    const left = Math.min(atOnce - inTime.filter(isOther).length, inAll - taken.filter(isOther).length);
    return taken.length - taken.filter(isOther).length < Math.ceil(left / 2);
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
