import { type Acquisitions, abortable, messageOf, unlessGone } from "@uvm-shim/lifecycle";
import type { ExitRecord } from "./exit-record.ts";
import type { Machine } from "./resources.ts";

/** What ending a VM takes. */
export interface End {
  readonly machine: Machine;
  readonly held: Acquisitions;
  readonly exits: ExitRecord;
  /** Whether the host has started it, so that it will report an exit. */
  readonly isStarted: () => boolean;
  /** Bounds one step of the end. */
  readonly within: <T>(step: (bound: AbortSignal) => Promise<T>) => Promise<T>;
}

/**
 * Ends a compute system and releases all that is held, the system's handle last. After a failure the rest is still held,
 * and the end can be repeated.
 */
export async function endMachine({ machine, held, exits, isStarted, within }: End): Promise<void> {
  const { system, document } = machine;
  let refusal: unknown;
  if (exits.exit === undefined) {
    try {
      await within((bound) => unlessGone(() => abortable(system.terminate(bound), bound)));
      if (isStarted()) await within((bound) => abortable(exits.recorded, bound));
    } catch (error) {
      // If its document says so, the VM ends with its last handle; otherwise the handle is kept for another attempt.
      if (document.ShouldTerminateOnLastHandleClosed !== true) throw error;
      refusal = error;
    }
  }
  await within((bound) => held.releaseAll(bound));
  if (isStarted() && refusal !== undefined) {
    exits.record(1, `ended with its last handle; the host could not end it: ${messageOf(refusal)}`);
  }
}
