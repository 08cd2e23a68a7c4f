import type { CrashReport, SystemExitStatus } from "@uvm-shim/hcs-schema";
import { abortable, type Clock, messageOf, withDeadline } from "@uvm-shim/lifecycle";
import type { VmState } from "./lifecycle.ts";
import type { VmComputeSystem, VmExit, VmGuest } from "./types.ts";

/** How a VM ended: told once, however many ways its end shows itself. */
export class ExitRecord {
  readonly #clock: Clock;
  readonly #told = Promise.withResolvers<VmExit>();
  #exit: VmExit | undefined;
  /** Why the VM is being ended, where that makes its exit a failure. */
  #loss: string | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** How it ended, once it has. */
  get exit(): VmExit | undefined {
    return this.#exit;
  }

  /** Resolves once, also for who asks after the end. */
  get told(): Promise<VmExit> {
    return this.#told.promise;
  }

  /** Whether there is one within so many milliseconds. */
  isToldWithin(milliseconds: number): Promise<boolean> {
    const deadline = { clock: this.#clock, milliseconds };
    return withDeadline((bound) => abortable(this.told, bound), deadline).then(
      () => true,
      () => false,
    );
  }

  /** Makes the exit that is to come a failure for this reason. */
  blame(loss: string): void {
    this.#loss = loss;
  }

  /** Records an exit, unless there is one, and answers with the one that stands. */
  record(status: number, reason: string, system?: SystemExitStatus, crashReport?: CrashReport): VmExit {
    if (this.#exit !== undefined) return this.#exit;
    this.#exit = {
      status: this.#loss === undefined ? status : status || 1,
      reason: this.#loss === undefined ? reason : `${this.#loss}; ${reason}`,
      exitedAt: this.#clock.now(),
      ...(system !== undefined && { system }),
      ...(crashReport !== undefined && { crashReport }),
    };
    this.#told.resolve(this.#exit);
    return this.#exit;
  }

  /** The exit of a VM whose host has none to report, unless it has one. */
  withoutReport(state: VmState<VmGuest>, isCreated: boolean): VmExit {
    if (state.kind === "Invalid") return this.record(1, `never ran: ${state.cause.message}`);
    return this.record(0, isCreated ? "never started" : "never created");
  }

  /** Records what the host tells of the end; `isOver` says that nothing it tells is news any more. */
  async watch(system: VmComputeSystem, isOver: () => boolean): Promise<VmExit | undefined> {
    try {
      const status = await system.exited;
      return this.record(status.Status, status.ExitType, status, system.crashReport);
    } catch (error) {
      // Closing the handle ends the notifications; that is no news about the VM.
      return isOver() ? undefined : this.record(1, `lost: ${messageOf(error)}`, undefined, system.crashReport);
    }
  }
}
