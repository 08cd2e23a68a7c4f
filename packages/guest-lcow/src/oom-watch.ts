import { GcsError } from "@uvm-shim/gcs-bridge";
import type { CgroupMetrics } from "@uvm-shim/hcs-schema";
import { withDeadline } from "@uvm-shim/lifecycle";
import type { LinuxGuestOptions } from "./types.ts";

/** How often a container that runs is measured, for kills that do not end a process of the host's. */
const intervalMs = 5_000;
/** An exit waits no longer than this to be told why. */
const atExitMs = 2_000;
const killedStatus = 128 + 9;

/**
 * Tells whenever the kernel has killed processes of a container for want of memory. The reference's guest sends no word
 * of it, but its figures have the count: they are asked for before an exit that may come of it is told, and from time
 * to time. A guest that tells by itself is believed, and asked no longer.
 */
export class OomWatch {
  readonly #containerId: string;
  readonly #options: Pick<LinuxGuestOptions, "delay" | "log">;
  readonly #measure: (abort: AbortSignal) => Promise<CgroupMetrics>;
  readonly #stopped = new AbortController();
  #listener: () => void = () => {};
  #kills = 0;
  #isToldByGuest = false;

  constructor(
    containerId: string,
    options: Pick<LinuxGuestOptions, "delay" | "log">,
    measure: (abort: AbortSignal) => Promise<CgroupMetrics>,
  ) {
    this.#containerId = containerId;
    this.#options = options;
    this.#measure = measure;
  }

  onKill(listener: () => void): void {
    this.#listener = listener;
  }

  /** The container runs from now on, and its kernel counts from 0. */
  start(): void {
    void this.#watch();
  }

  /** Takes what the guest has counted, for whomever. */
  saw(metrics: CgroupMetrics): void {
    const kills = killsIn(metrics);
    if (kills <= this.#kills) return;
    this.#kills = kills;
    if (!this.#isToldByGuest) this.#listener();
  }

  /** The guest tells of a kill by itself. */
  told(): void {
    this.#isToldByGuest = true;
    this.#listener();
  }

  /** Resolves when it is known whether a process, which has ended, was killed for want of memory. */
  async processExited(status: number | undefined): Promise<void> {
    if (status === killedStatus) await this.#check();
  }

  /** As `processExited`, for the init, with which the watch ends. Its status says nothing: a child may have been killed. */
  async end(status: number | undefined): Promise<void> {
    if (status !== undefined) await this.#check();
    this.stop();
  }

  stop(): void {
    this.#stopped.abort(new Error("the container has ended"));
  }

  async #watch(): Promise<void> {
    const { signal } = this.#stopped;
    while (!this.#isToldByGuest && !signal.aborted) {
      try {
        await this.#options.delay(intervalMs, signal);
        await this.#measure(signal);
      } catch (error) {
        if (signal.aborted || isGone(error)) return;
        // A guest that is slow once is no guest without figures.
        if (error instanceof GcsError && error.code === "DeadlineExceeded") continue;
        const fields = { containerId: this.#containerId, error };
        this.#options.log.log("warn", "kills for want of memory are not told: the guest gives no figures", fields);
        return;
      }
    }
  }

  async #check(): Promise<void> {
    if (this.#isToldByGuest) return;
    try {
      await withDeadline((late) => this.#measure(late), {
        ...{ clock: this.#options, milliseconds: atExitMs },
        error: () => new Error(`the guest has given no figures within ${atExitMs} ms`),
      });
    } catch (error) {
      const fields = { containerId: this.#containerId, error };
      this.#options.log.log("debug", "whether a process was killed for want of memory is not known", fields);
    }
  }
}

function killsIn(of: CgroupMetrics): number {
  const counted = of.version === 1 ? of.metrics.memory_oom_control?.oom_kill : of.metrics.memory_events?.oom_kill;
  return Number(counted ?? 0);
}

function isGone(error: unknown): boolean {
  return error instanceof GcsError && error.gone;
}
