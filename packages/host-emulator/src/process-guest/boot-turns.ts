/** What machines that boot are given turns by. */
export interface BootTurnsOptions {
  /** How many may boot at once. */
  readonly most: number;
  /** How long a turn lasts at most, in milliseconds: what hangs uses no processor, and is not to hold others up. */
  readonly longestMs: number;
}

type Waiter = () => void;

/**
 * Lets so many machines boot at once and has others wait, in the order in which they came: however many are to be booted,
 * what runs on this machine has not more beside it than that.
 */
export class BootTurns {
  readonly #options: BootTurnsOptions;
  readonly #waiting = new Set<Waiter>();
  #booting = 0;

  constructor(options: BootTurnsOptions) {
    this.#options = options;
  }

  /** Resolves with what ends the turn, which ends by itself in time. Rejects with the signal's reason. */
  async take(signal: AbortSignal): Promise<() => void> {
    signal.throwIfAborted();
    if (this.#booting < this.#options.most) this.#booting++;
    else await this.#wait(signal);
    let isOver = false;
    const end = (): void => {
      if (isOver) return;
      isOver = true;
      clearTimeout(timer);
      const [next] = this.#waiting;
      if (next === undefined) this.#booting--;
      else next();
    };
    // Ends a turn that nobody awaits, which takes no clock's promise; whoever ends it before clears it at once.
    const timer = setTimeout(end, this.#options.longestMs);
    return end;
  }

  /** Until somebody's turn becomes this one's. */
  #wait(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const settle = (): void => {
        this.#waiting.delete(go);
        signal.removeEventListener("abort", give);
      };
      const go = (): void => {
        settle();
        resolve();
      };
      const give = (): void => {
        settle();
        reject(signal.reason);
      };
      this.#waiting.add(go);
      signal.addEventListener("abort", give);
    });
  }
}
