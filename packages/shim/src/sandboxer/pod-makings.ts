import { availableParallelism } from "node:os";
import type { Clock } from "@uvm-shim/lifecycle";
import type { PodName } from "./registry.ts";

/** How many pods are made at once. */
export interface PodMakingsOptions {
  readonly clock: Clock;
  /** How many while containers that run are used; by default half as many as there are processors. */
  readonly most?: number;
}

/** How long after an exec the next one is expected. */
const usedMilliseconds = 2_000;
/** A pod's containers start soon after it. */
const settlingMilliseconds = 500;
/** A boot that hangs uses no processor, and must not hold others up. */
const longestMilliseconds = 5_000;

/**
 * The pods that are being made. What their boots take of the processors, an exec in a pod that runs would wait for; so
 * while there are execs, few pods are made at once, and the others in the order in which they came. Otherwise all are.
 */
export class PodMakings {
  readonly #clock: Clock;
  readonly #most: number;
  readonly #waiting = new Set<() => void>();
  /** What ends the turn of each pod that is being made. */
  readonly #making = new Map<string, AbortController>();
  #usedUntil = 0;
  #isWatching = false;

  constructor({ clock, most = Math.max(1, Math.floor(availableParallelism() / 2)) }: PodMakingsOptions) {
    this.#clock = clock;
    this.#most = most;
  }

  /** A container that runs is being used. */
  use(): void {
    this.#usedUntil = this.#clock.now().getTime() + usedMilliseconds;
  }

  /** Resolves when the pod may be made. Rejects with the signal's reason. */
  async begin(name: PodName, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    const key = keyOf(name);
    // It is refused by whoever knows the names.
    if (this.#making.has(key)) return;
    if (this.#waiting.size === 0 && this.#isFree) this.#enter(name);
    else await this.#wait(name, signal);
  }

  /** The pod runs, and its containers follow. */
  settle(name: PodName): void {
    const over = this.#making.get(keyOf(name));
    if (over !== undefined) this.#endAfter(settlingMilliseconds, name, over);
  }

  /** The pod is made, or will not be. Can be repeated. */
  end(name: PodName): void {
    const key = keyOf(name);
    const over = this.#making.get(key);
    if (over === undefined) return;
    this.#making.delete(key);
    over.abort();
    this.#admit();
  }

  get #isFree(): boolean {
    return this.#making.size < this.#most || this.#clock.now().getTime() >= this.#usedUntil;
  }

  #endAfter(milliseconds: number, name: PodName, over: AbortController): void {
    const end = (): void => {
      // A later pod may have the same name.
      if (!over.signal.aborted) this.end(name);
    };
    this.#clock.delay(milliseconds, over.signal).then(end, () => {});
  }

  #enter(name: PodName): void {
    const over = new AbortController();
    this.#making.set(keyOf(name), over);
    this.#endAfter(longestMilliseconds, name, over);
  }

  #wait(name: PodName, signal: AbortSignal | undefined): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const settle = (): void => {
      this.#waiting.delete(go);
      signal?.removeEventListener("abort", give);
    };
    const go = (): void => {
      settle();
      this.#enter(name);
      resolve();
    };
    const give = (): void => {
      settle();
      reject(signal?.reason);
    };
    this.#waiting.add(go);
    signal?.addEventListener("abort", give);
    void this.#watch();
    return promise;
  }

  #admit(): void {
    for (const next of this.#waiting) {
      if (!this.#isFree) return;
      next();
    }
  }

  /** Lets in all that wait once there are no execs any more. */
  async #watch(): Promise<void> {
    if (this.#isWatching) return;
    this.#isWatching = true;
    while (this.#waiting.size > 0) {
      const left = this.#usedUntil - this.#clock.now().getTime();
      if (left > 0) await this.#clock.delay(left);
      else this.#admit();
    }
    this.#isWatching = false;
  }
}

function keyOf({ namespace, id }: PodName): string {
  return `${namespace}/${id}`;
}
