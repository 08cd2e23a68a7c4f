import type { Clock } from "@uvm-shim/lifecycle";
import { describeError } from "../errors.ts";
import type { Log } from "../platform.ts";
import type { SandboxSlot } from "../services/sandbox/sandbox-slot.ts";

const defaultLingerMilliseconds = 30_000;
/** Each time containerd may be asked for its version. */
const shortestLinger = 100;

/** What UVM_SHIM_LINGER_MS says; a shim that is told nonsense serves all the same. */
export function lingerFrom(text: string | undefined, log: Log): number {
  if (text === undefined) return defaultLingerMilliseconds;
  const milliseconds = /^\d{1,9}$/.test(text) ? Number(text) : 0;
  if (milliseconds >= shortestLinger) return milliseconds;
  const expected = `a whole number of milliseconds from ${shortestLinger} to 999999999`;
  log.log("warn", `UVM_SHIM_LINGER_MS is ${text}, expected ${expected}; it is ${defaultLingerMilliseconds} instead`);
  return defaultLingerMilliseconds;
}

export interface RetirementOptions {
  readonly slot: SandboxSlot;
  readonly tasks: { readonly isEmpty: boolean; deleteAll(): Promise<void> };
  readonly milliseconds: number;
  readonly clock: Clock;
  readonly log: Log;
  readonly end: (reason: string) => void;
  /** Whether the containerd of the moment can do without the shim of a pod that it still knows. */
  readonly isDispensable: () => Promise<boolean>;
}

/**
 * Ends the shim of a pod that has ended, once no task is left: a kubelet keeps a completed pod for hours, and has its
 * sandbox shut down only when it removes the pod. Not at once, since whoever stops a pod asks for its state right after
 * that, or removes it, and containerd answers neither while it takes notice of the process's end.
 */
export class Retirement {
  readonly #options: RetirementOptions;
  readonly #stop = new AbortController();
  #isBegun = false;

  constructor(options: RetirementOptions) {
    this.#options = options;
  }

  /** For the sandbox that there is now; it may be called again. */
  begin(): void {
    if (this.#isBegun) return;
    this.#isBegun = true;
    void this.#watch();
  }

  cancel(): void {
    this.#stop.abort();
  }

  async #watch(): Promise<void> {
    const { slot, tasks, milliseconds, clock, log, end, isDispensable } = this.#options;
    await slot.present?.sandbox.wait(this.#stop.signal).catch(() => {});
    while (!this.#stop.signal.aborted) {
      await clock.delay(milliseconds, this.#stop.signal).catch(() => {});
      // The namespaces' holder may have ended alone: then the VM is for the kubelet to stop.
      if (this.#stop.signal.aborted || slot.present?.sandbox.state !== "stopped" || !tasks.isEmpty) continue;
      if (!(await isDispensable())) continue;
      try {
        // Of a VM that ended by itself nobody may have given back what it held of the host.
        await tasks.deleteAll();
        return end(`sandbox ${slot.present.sandbox.id} has ended, and no task is left`);
      } catch (error) {
        log.log("warn", "sandbox not given back, which is tried again", { error: describeError(error) });
      }
    }
  }
}
