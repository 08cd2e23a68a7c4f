import { GcsError, type GuestOptions } from "@uvm-shim/gcs-bridge";
import type { CgroupMetrics } from "@uvm-shim/hcs-schema";
import { withDeadline } from "@uvm-shim/lifecycle";

/** How often a running container is measured, for kills of processes that the host did not start. */
const intervalMs = 5_000;
/** How long an exit waits for its cause. */
const atExitMs = 2_000;
const killedStatus = 128 + 9;

/**
 * Reports when the kernel has killed processes of a container for lack of memory. The real guest sends no such
 * notification, but its statistics include the count: they are queried at intervals, and before an exit that may be such
 * a kill is reported. A guest that sends notifications is no longer queried.
 */
export class OomWatch {
  readonly #containerId: string;
  readonly #options: Pick<GuestOptions, "delay" | "log">;
  readonly #measure: (abort: AbortSignal) => Promise<CgroupMetrics>;
  readonly #stopped = new AbortController();
  #listener: () => void = () => {};
  #kills = 0;
  #isToldByGuest = false;

  constructor(
    containerId: string,
    options: Pick<GuestOptions, "delay" | "log">,
    measure: (abort: AbortSignal) => Promise<CgroupMetrics>,
  ) {
    this.#containerId = containerId;
    this.#options = options;
    this.#measure = measure;
  }

  onKill(listener: () => void): void {
    this.#listener = listener;
  }

  /** To be called when the container starts, with a count of 0. */
  start(): void {
    void this.#watch();
  }

  /** Takes statistics that were queried for any purpose. */
  saw(metrics: CgroupMetrics): void {
    const kills = killsIn(metrics);
    if (kills <= this.#kills) return;
    this.#kills = kills;
    if (!this.#isToldByGuest) this.#listener();
  }

  /** The guest has sent a notification. */
  killReported(): void {
    this.#isToldByGuest = true;
    this.#listener();
  }

  /** Resolves when it is known whether a process that has exited was killed for lack of memory. */
  async processExited(status: number | undefined): Promise<void> {
    if (status === killedStatus) await this.#check();
  }

  /** As `processExited`, for the init, with which the watch ends. Its status does not matter: a child may have been killed. */
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
        // A slow answer does not mean that the guest has no statistics.
        if (error instanceof GcsError && error.code === "DeadlineExceeded") continue;
        const fields = { containerId: this.#containerId, error };
        this.#options.log.log("warn", "out-of-memory kills are not reported: the guest returns no statistics", fields);
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
      this.#options.log.log("debug", "cannot determine whether a process was killed for lack of memory", fields);
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
