import type { Clock } from "@uvm-shim/lifecycle";
import { describeError } from "../errors.ts";
import type { Log } from "../platform.ts";
import type { SandboxSlot } from "../services/sandbox/sandbox-slot.ts";

const defaultLingerMilliseconds = 30_000;
/** Each round may query containerd's version, so rounds must not be too frequent. */
const shortestLinger = 100;
/** What UVM_SHIM_LINGER_MS may be, for an error. */
export const expectedLinger = `a whole number of milliseconds from ${shortestLinger} to 999999999`;

/** The value of UVM_SHIM_LINGER_MS, in milliseconds; undefined if it is none. */
export function readLinger(text: string | undefined): number | undefined {
  if (text === undefined || text === "") return defaultLingerMilliseconds;
  const milliseconds = /^\d{1,9}$/.test(text) ? Number(text) : 0;
  return milliseconds >= shortestLinger ? milliseconds : undefined;
}

/** `start` refuses an invalid value. One that comes another way must not keep the shim from serving. */
export function lingerFrom(text: string | undefined, log: Log): number {
  const milliseconds = readLinger(text);
  if (milliseconds !== undefined) return milliseconds;
  log.log("warn", `UVM_SHIM_LINGER_MS is ${text}, expected ${expectedLinger}; using ${defaultLingerMilliseconds}`);
  return defaultLingerMilliseconds;
}

/** What decides when the shim of a completed pod ends. */
export interface RetirementOptions {
  readonly slot: SandboxSlot;
  readonly tasks: { readonly isEmpty: boolean; deleteAll(): Promise<void> };
  readonly milliseconds: number;
  readonly clock: Clock;
  readonly log: Log;
  readonly end: (reason: string) => void;
  /** Whether the containerd that runs now can list pods whose shim has exited. */
  readonly isDispensable: () => Promise<boolean>;
}

/**
 * Exits the shim of a pod that has ended, once no task is left: a kubelet keeps a completed pod for hours, and shuts its
 * sandbox down only when it removes the pod. The shim lingers first, because a client that stops a pod queries its state
 * or removes it right afterwards, and containerd answers neither while it handles the exit of the shim.
 */
export class Retirement {
  readonly #options: RetirementOptions;
  readonly #stop = new AbortController();
  #isBegun = false;

  constructor(options: RetirementOptions) {
    this.#options = options;
  }

  /** Watches the current sandbox. Idempotent. */
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
      // If only the container that holds the namespaces has ended, the kubelet stops the VM.
      if (this.#stop.signal.aborted || slot.present?.sandbox.state !== "stopped" || !tasks.isEmpty) continue;
      if (!(await isDispensable())) continue;
      try {
        // Nobody may have released the host's resources of a VM that ended on its own.
        await tasks.deleteAll();
        return end(`sandbox ${slot.present.sandbox.id} has ended and no task is left`);
      } catch (error) {
        log.log("warn", "cannot release the ended sandbox, retrying", { error: describeError(error) });
      }
    }
  }
}
