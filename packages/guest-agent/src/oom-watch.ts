/**
 * How often the kernel's count is looked at, in milliseconds. Version 1 tells of a kill through an eventfd, which Node
 * cannot wait for without giving a thread to each container; version 2 has a file to watch, and the count is the same.
 */
const intervalMs = 500;

/** Tells whenever the kernel has killed processes of a container for want of memory, from when it is made. */
export class OomWatch {
  readonly #count: () => number;
  readonly #onKill: () => void;
  readonly #timer: NodeJS.Timeout;
  #seen: number;

  /** `count` is how many it has killed so far. */
  constructor(count: () => number, onKill: () => void) {
    this.#count = count;
    this.#onKill = onKill;
    this.#seen = count();
    this.#timer = setInterval(() => this.check(), intervalMs).unref();
  }

  /** Looks at once, for who is about to tell of a process's end: the reason comes first. */
  check(): void {
    const count = this.#count();
    if (count > this.#seen) this.#onKill();
    this.#seen = count;
  }

  /** Looks for the last time. */
  stop(): void {
    this.check();
    clearInterval(this.#timer);
  }
}
