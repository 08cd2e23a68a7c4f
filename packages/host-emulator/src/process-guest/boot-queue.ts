/** Limits of the boot queue. */
export interface BootTurnsOptions {
  /** Maximum number of concurrent boots. */
  readonly most: number;
  /** Milliseconds until a turn expires, so that a hanging boot, which uses no processor, does not block others. */
  readonly longestMs: number;
}

type Waiter = () => void;

/**
 * Limits the number of machines that boot at once; others wait in order. It protects running workloads of this machine
 * when many machines boot.
 */
export class BootTurns {
  readonly #options: BootTurnsOptions;
  readonly #waiting = new Set<Waiter>();
  #booting = 0;

  constructor(options: BootTurnsOptions) {
    this.#options = options;
  }

  /** Resolves to a function that ends the turn, which also expires. Rejects with the signal's reason. */
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
    // Ends a turn after a time. Nothing awaits it, so it is no clock's promise; ending the turn clears it.
    const timer = setTimeout(end, this.#options.longestMs);
    return end;
  }

  /** Waits for a turn. */
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
