/** A clock that stands still until the test moves it. */
export class FakeClock {
  #now = Date.UTC(2026, 0, 1);
  #waiting: { readonly at: number; readonly resolve: () => void }[] = [];

  now(): Date {
    return new Date(this.#now);
  }

  delay(milliseconds: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason);
      const timer = { at: this.#now + milliseconds, resolve };
      this.#waiting.push(timer);
      signal.addEventListener("abort", () => {
        this.#waiting = this.#waiting.filter((other) => other !== timer);
        reject(signal.reason);
      });
    });
  }

  /** How many wait for time to pass. */
  get pending(): number {
    return this.#waiting.length;
  }

  /** Moves on to when the next one has waited long enough. */
  advanceToNext(): void {
    const next = Math.min(...this.#waiting.map(({ at }) => at));
    if (Number.isFinite(next)) this.advance(next - this.#now);
  }

  advance(milliseconds: number): void {
    this.#now += milliseconds;
    const due = this.#waiting.filter(({ at }) => at <= this.#now);
    this.#waiting = this.#waiting.filter(({ at }) => at > this.#now);
    for (const { resolve } of due) resolve();
  }
}
