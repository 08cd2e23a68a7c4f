import { readFileSync } from "node:fs";
import path from "node:path";

interface Turn {
  readonly path: string;
  readonly isGivenUp: () => boolean;
  readonly begin: () => void;
  /** Set once it has lasted longer than anything that answers. */
  isOverdue: boolean;
  /** Of those that wait, the first to have asked has the least. */
  readonly number: number;
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
  /** By their file systems, so that thousands that wait for one are not looked at one by one. */
  readonly #waiting = new Map<string, WaitingTurns>();
  #asked = 0;

  constructor(most: MostTurns, fileSystemOf: (path: string) => string = fileSystemOnHost) {
    this.#most = most;
    this.#fileSystemOf = fileSystemOf;
  }

  /** Makes the call in its turn, or rejects without it when it is given up before. */
  async run<T>({ path, isGivenUp, call, givenUp, overdue }: FileQuestionAsked<T>): Promise<T> {
    const turn = await new Promise<Turn>((resolve) => {
      const asking: Turn = {
        ...{ path, isGivenUp, begin: () => resolve(asking) },
        ...{ isOverdue: false, number: this.#asked++ },
      };
      // Within the first half no share can be used up, and nobody needs to know whose it is.
      if (this.#waiting.size === 0 && this.#taken.size < this.#most.atOnce / 2) this.#begin(asking);
      else this.#wait(asking);
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

  #wait(turn: Turn): void {
    const whose = this.#whose(turn);
    const waiting = this.#waiting.get(whose) ?? new WaitingTurns();
    this.#waiting.set(whose, waiting);
    waiting.push(turn);
    this.#next();
  }

  #begin(turn: Turn): void {
    this.#taken.add(turn);
    turn.begin();
  }

  #next(): void {
    for (;;) {
      let first: { readonly turn: Turn; readonly waiting: WaitingTurns } | undefined;
      for (const [whose, waiting] of this.#waiting) {
        const turn = waiting.first();
        if (turn === undefined) this.#waiting.delete(whose);
        else if (this.#isFree(whose) && turn.number < (first?.turn.number ?? Number.POSITIVE_INFINITY)) {
          first = { turn, waiting };
        }
      }
      if (first === undefined) return;
      first.waiting.shift();
      this.#begin(first.turn);
    }
  }

  #isFree(whose: string): boolean {
    const taken = [...this.#taken];
    const { atOnce, inAll } = this.#most;
    if (taken.length < atOnce / 2) return true;
    const inTime = taken.filter((other) => !other.isOverdue);
    if (inTime.length >= atOnce || taken.length >= inAll) return false;
    const isOther = (other: Turn): boolean => this.#whose(other) !== whose;
    const left = Math.min(atOnce - inTime.filter(isOther).length, inAll - taken.filter(isOther).length);
    return taken.length - taken.filter(isOther).length < Math.ceil(left / 2);
  }

  #whose(turn: Turn): string {
    if (turn.fileSystem === undefined) {
      try {
        turn.fileSystem = this.#fileSystemOf(turn.path);
      } catch {
        // At the limit of descriptors nothing can be read: an unknown share is no reason to lose an answer, or the shim.
        turn.fileSystem = "";
      }
    }
    return turn.fileSystem;
  }
}

/** Those that wait for one file system, in the order in which they asked. */
class WaitingTurns {
  #turns: Turn[] = [];
  #next = 0;

  push(turn: Turn): void {
    this.#turns.push(turn);
  }

  /** Those before it that were given up are let go, and have no turn. */
  first(): Turn | undefined {
    for (let turn = this.#turns[this.#next]; turn?.isGivenUp(); turn = this.#turns[this.#next]) {
      this.shift();
      turn.begin();
    }
    return this.#turns[this.#next];
  }

  shift(): void {
    this.#next += 1;
    if (this.#next * 2 < this.#turns.length) return;
    this.#turns = this.#turns.slice(this.#next);
    this.#next = 0;
  }
}

/** The file system that a path is in, without asking that: links are not followed. */
function fileSystemOnHost(file: string): string {
  if (process.platform === "win32") return path.parse(path.resolve(file)).root.toLowerCase();
  return devicesOfMoment().of(path.resolve(file));
}

let devices: DevicesOfMounts | undefined;

/** What is mounted now: read once for all that ask before others have their turn, as the mounts of one container do. */
function devicesOfMoment(): DevicesOfMounts {
  if (devices !== undefined) return devices;
  setImmediate(() => {
    devices = undefined;
  });
  devices = new DevicesOfMounts(readFileSync("/proc/self/mountinfo", "utf8"));
  return devices;
}

/** By mountinfo (proc(5)): the device of the last one of the deepest mounts above. Several mounts may be of one file system. */
export function fileSystemIn(mountinfo: string, file: string): string {
  return new DevicesOfMounts(mountinfo).of(file);
}

class DevicesOfMounts {
  /** By the mount points; of those over each other the last is what is seen. */
  readonly #devices = new Map<string, string>();

  constructor(mountinfo: string) {
    for (const line of mountinfo.split("\n")) {
      const [, , device = "", , point = ""] = line.split(" ", 5);
      const place = point.replace(/\\([0-7]{3})/g, (_, digits: string) =>
        String.fromCharCode(Number.parseInt(digits, 8)),
      );
      if (place !== "") this.#devices.set(place, device);
    }
  }

  of(file: string): string {
    for (let place = file; place.length > 1; place = place.slice(0, Math.max(1, place.lastIndexOf("/")))) {
      const device = this.#devices.get(place);
      if (device !== undefined) return device;
    }
    return this.#devices.get("/") ?? "";
  }
}
