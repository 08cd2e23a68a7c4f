import { readFileSync } from "node:fs";
import path from "node:path";

interface QueuedCall {
  readonly path: string;
  readonly isGivenUp: () => boolean;
  readonly begin: () => void;
  /** Set once it has run longer than its time limit. */
  isOverdue: boolean;
  /** Increases in the order of arrival. */
  readonly number: number;
  /** Determined only when needed. */
  fileSystem?: string;
}

/** A call of the file system that waits for its turn. */
export interface QueuedFileCall<T> {
  readonly path: string;
  /** Whether the caller has given up. */
  readonly isGivenUp: () => boolean;
  readonly call: () => Promise<T>;
  readonly givenUp: () => Error;
  /** Resolves when the call exceeds its time limit. */
  readonly overdue?: Promise<void>;
}

/** How many calls of the file system may be under way. */
export interface FileCallLimits {
  /** Calls within their time limit. */
  readonly atOnce: number;
  /** All calls, including overdue ones: each blocks a thread until its file system answers, if ever. */
  readonly inAll: number;
}

/**
 * Decides which file system calls may run. A file system that does not answer blocks its calls for ever, so each gets at
 * most half of the slots that the others leave: others still make progress, however many of its paths clients name. An
 * overdue call no longer occupies a slot, or a few such file systems would occupy all; the total is limited as well.
 */
export class FileCallQueue {
  readonly #limits: FileCallLimits;
  readonly #fileSystemOf: (path: string) => string;
  readonly #taken = new Set<QueuedCall>();
  /** By file system, so that thousands of calls on one need not be examined one by one. */
  readonly #waiting = new Map<string, WaitingCalls>();
  #nextNumber = 0;

  constructor(limits: FileCallLimits, fileSystemOf: (path: string) => string = fileSystemOnHost) {
    this.#limits = limits;
    this.#fileSystemOf = fileSystemOf;
  }

  /** Makes the call when a slot is free; rejects without making it if the caller has given up by then. */
  async run<T>({ path, isGivenUp, call, givenUp, overdue }: QueuedFileCall<T>): Promise<T> {
    const queued = await new Promise<QueuedCall>((resolve) => {
      const queued: QueuedCall = {
        ...{ path, isGivenUp, begin: () => resolve(queued) },
        ...{ isOverdue: false, number: this.#nextNumber++ },
      };
      // Within the first half no share can be exceeded, so the file system need not be determined.
      if (this.#waiting.size === 0 && this.#taken.size < this.#limits.atOnce / 2) this.#begin(queued);
      else this.#wait(queued);
    });
    void overdue?.then(() => {
      queued.isOverdue = true;
      this.#next();
    });
    try {
      if (isGivenUp()) throw givenUp();
      return await call();
    } finally {
      this.#taken.delete(queued);
      this.#next();
    }
  }

  #wait(queued: QueuedCall): void {
    const fileSystem = this.#fileSystem(queued);
    const waiting = this.#waiting.get(fileSystem) ?? new WaitingCalls();
    this.#waiting.set(fileSystem, waiting);
    waiting.push(queued);
    this.#next();
  }

  #begin(queued: QueuedCall): void {
    this.#taken.add(queued);
    queued.begin();
  }

  #next(): void {
    for (;;) {
      let first: { readonly queued: QueuedCall; readonly waiting: WaitingCalls } | undefined;
      for (const [fileSystem, waiting] of this.#waiting) {
        const queued = waiting.first();
        if (queued === undefined) this.#waiting.delete(fileSystem);
        else if (this.#isFree(fileSystem) && queued.number < (first?.queued.number ?? Number.POSITIVE_INFINITY)) {
          first = { queued, waiting };
        }
      }
      if (first === undefined) return;
      first.waiting.shift();
      this.#begin(first.queued);
    }
  }

  #isFree(fileSystem: string): boolean {
    const taken = [...this.#taken];
    const { atOnce, inAll } = this.#limits;
    if (taken.length < atOnce / 2) return true;
    const inTime = taken.filter((other) => !other.isOverdue);
    if (inTime.length >= atOnce || taken.length >= inAll) return false;
    const isOther = (other: QueuedCall): boolean => this.#fileSystem(other) !== fileSystem;
    const left = Math.min(atOnce - inTime.filter(isOther).length, inAll - taken.filter(isOther).length);
    return taken.length - taken.filter(isOther).length < Math.ceil(left / 2);
  }

  #fileSystem(queued: QueuedCall): string {
    if (queued.fileSystem === undefined) {
      try {
        queued.fileSystem = this.#fileSystemOf(queued.path);
      } catch {
        // At the descriptor limit, mountinfo cannot be read; the call must not fail because of that.
        queued.fileSystem = "";
      }
    }
    return queued.fileSystem;
  }
}

/** The waiting calls on one file system, in the order of their arrival. */
class WaitingCalls {
  #calls: QueuedCall[] = [];
  #next = 0;

  push(queued: QueuedCall): void {
    this.#calls.push(queued);
  }

  /** Begins, and thereby rejects, the calls before it that were given up. */
  first(): QueuedCall | undefined {
    for (let queued = this.#calls[this.#next]; queued?.isGivenUp(); queued = this.#calls[this.#next]) {
      this.shift();
      queued.begin();
    }
    return this.#calls[this.#next];
  }

  shift(): void {
    this.#next += 1;
    if (this.#next * 2 < this.#calls.length) return;
    this.#calls = this.#calls.slice(this.#next);
    this.#next = 0;
  }
}

/** The file system of a path, determined without accessing it: links are not followed. */
function fileSystemOnHost(file: string): string {
  if (process.platform === "win32") return path.parse(path.resolve(file)).root.toLowerCase();
  return currentMounts().deviceOf(path.resolve(file));
}

let mounts: MountTable | undefined;

/** Read once per turn of the event loop, for all calls that the mounts of a container cause. */
function currentMounts(): MountTable {
  if (mounts !== undefined) return mounts;
  setImmediate(() => {
    mounts = undefined;
  });
  mounts = new MountTable(readFileSync("/proc/self/mountinfo", "utf8"));
  return mounts;
}

/** By mountinfo (proc(5)): the device of the last one of the deepest mounts above the file. */
export function fileSystemIn(mountinfo: string, file: string): string {
  return new MountTable(mountinfo).deviceOf(file);
}

class MountTable {
  /** By mount point; of stacked mounts, the last one is visible. */
  readonly #devices = new Map<string, string>();

  constructor(mountinfo: string) {
    for (const line of mountinfo.split("\n")) {
      const [, , device = "", , escapedPoint = ""] = line.split(" ", 5);
      const mountPoint = escapedPoint.replace(/\\([0-7]{3})/g, (_, digits: string) =>
        String.fromCharCode(Number.parseInt(digits, 8)),
      );
      if (mountPoint !== "") this.#devices.set(mountPoint, device);
    }
  }

  deviceOf(file: string): string {
    for (
      let mountPoint = file;
      mountPoint.length > 1;
      mountPoint = mountPoint.slice(0, Math.max(1, mountPoint.lastIndexOf("/")))
    ) {
      const device = this.#devices.get(mountPoint);
      if (device !== undefined) return device;
    }
    return this.#devices.get("/") ?? "";
  }
}
