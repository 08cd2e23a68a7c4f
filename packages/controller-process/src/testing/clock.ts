import type { Clock } from "@uvm-shim/lifecycle";

interface Delay {
  readonly milliseconds: number;
  readonly elapse: () => void;
}

/** A clock that a test advances by naming the delay that ends, not a time. */
export class ManualClock implements Clock {
  #now = Date.UTC(2026, 0, 1);
  #delays: Delay[] = [];
  #awaited: { readonly milliseconds: number; readonly found: () => void }[] = [];

  now(): Date {
    return new Date(this.#now);
  }

  delay(milliseconds: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      const delay = { milliseconds, elapse: resolve };
      this.#delays.push(delay);
      signal?.addEventListener("abort", () => {
        this.#delays = this.#delays.filter((other) => other !== delay);
        reject(signal.reason);
      });
      for (const awaited of this.#awaited) if (awaited.milliseconds === milliseconds) awaited.found();
    });
  }

  /** Ends the repeated delays of a poll until this much time has passed. */
  async elapseIn(steps: { readonly of: number; readonly upTo: number }): Promise<void> {
    for (let passed = 0; passed < steps.upTo; passed += steps.of) await this.elapse(steps.of);
  }

  get pending(): readonly number[] {
    return this.#delays.map((delay) => delay.milliseconds);
  }

  /** Resolves once a delay of this length is pending. */
  async reached(milliseconds: number): Promise<void> {
    await new Promise(setImmediate);
    if (this.pending.includes(milliseconds)) return;
    await new Promise<void>((found) => this.#awaited.push({ milliseconds, found }));
  }

  /** Waits until delays of this length are pending, then ends them. Streams move on meanwhile. */
  async elapse(milliseconds: number): Promise<void> {
    await this.reached(milliseconds);
    this.#now += milliseconds;
    const elapsed = this.#delays.filter((delay) => delay.milliseconds === milliseconds);
    this.#delays = this.#delays.filter((delay) => delay.milliseconds !== milliseconds);
    for (const delay of elapsed) delay.elapse();
  }
}
