import { abortable, type Clock } from "@uvm-shim/lifecycle";

/** A pod's containers start soon after it. */
const quietMilliseconds = 500;
const firstPause = 1_000;
const longestPause = 60_000;

/** When VMs may be booted that nobody waits for: not while pods are being made, and more seldom while boots fail. */
export class BootPause {
  readonly #clock: Clock;
  #making = 0;
  #made = Promise.withResolvers<void>();
  #quietFrom = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** A pod is made meanwhile. */
  async during<T>(work: () => Promise<T>): Promise<T> {
    this.#making++;
    try {
      return await work();
    } finally {
      this.#making--;
      this.extend();
      if (this.#making === 0) {
        this.#made.resolve();
        this.#made = Promise.withResolvers();
      }
    }
  }

  /** A pod has just been made, or will be. */
  extend(): void {
    this.#quietFrom = this.#clock.now().getTime() + quietMilliseconds;
  }

  /** Resolves when a VM may be booted, after this many troubles in a row. Rejects with the signal's reason. */
  async over(troubles: number, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (troubles > 0) await this.#clock.delay(Math.min(longestPause, firstPause * 2 ** (troubles - 1)), signal);
    for (;;) {
      if (this.#making > 0) {
        await abortable(this.#made.promise, signal);
      }
      const left = this.#quietFrom - this.#clock.now().getTime();
      if (this.#making === 0 && left <= 0) return;
      if (left > 0) await this.#clock.delay(left, signal);
    }
  }
}
