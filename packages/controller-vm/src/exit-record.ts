import type { CrashReport, SystemExitStatus } from "@uvm-shim/hcs-schema";
import { abortable, type Clock, messageOf, reportOccurrence, withDeadline } from "@uvm-shim/lifecycle";
import type { VmState } from "./lifecycle.ts";
import type { VmComputeSystem, VmExit, VmGuest } from "./types.ts";

/** How a VM ended: recorded once, although its end may be noticed in several ways. */
export class ExitRecord {
  readonly #clock: Clock;
  readonly #recorded = Promise.withResolvers<VmExit>();
  #exit: VmExit | undefined;
  /** Why the VM is being ended, where that makes its exit a failure. */
  #loss: string | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** The exit; undefined until the VM has ended. */
  get exit(): VmExit | undefined {
    return this.#exit;
  }

  /** Resolves with the exit once it is recorded. */
  get recorded(): Promise<VmExit> {
    return this.#recorded.promise;
  }

  /** Whether an exit is recorded before the time, in milliseconds, is over. */
  isRecordedWithin(milliseconds: number): Promise<boolean> {
    const deadline = { clock: this.#clock, milliseconds };
    return withDeadline((bound) => abortable(this.recorded, bound), deadline).then(
      () => true,
      () => false,
    );
  }

  /** Makes the coming exit a failure with this reason. */
  blame(loss: string): void {
    this.#loss = loss;
  }

  /** Records an exit unless there is one, and returns the one that is recorded. */
  record(status: number, reason: string, system?: SystemExitStatus, crashReport?: CrashReport): VmExit {
    if (this.#exit !== undefined) return this.#exit;
    this.#exit = {
      status: this.#loss === undefined ? status : status || 1,
      reason: this.#loss === undefined ? reason : `${this.#loss}; ${reason}`,
      exitedAt: this.#clock.now(),
      ...(system !== undefined && { system }),
      ...(crashReport !== undefined && { crashReport }),
    };
    this.#recorded.resolve(this.#exit);
    return this.#exit;
  }

  /** Records an exit for a VM that never ran, for which the host reports none. */
  withoutReport(state: VmState<VmGuest>, isCreated: boolean): VmExit {
    if (state.kind === "Invalid") return this.record(1, `never ran: ${state.cause.message}`);
    return this.record(0, isCreated ? "never started" : "never created");
  }

  /** Records the exit that the host reports; `isOver` says that later reports do not matter. */
  async watch(system: VmComputeSystem, isOver: () => boolean): Promise<VmExit | undefined> {
    try {
      const status = await system.exited;
      return this.record(status.Status, status.ExitType, status, system.crashReport);
    } catch (error) {
      // Closing the handle ends the notifications, whether or not the VM still runs.
      return isOver() ? undefined : this.record(1, `lost: ${messageOf(error)}`, undefined, system.crashReport);
    }
  }
}

/** Tells observers how a VM ended, with what its host knows of a crash. */
export function reportExit(
  { status, reason, system, crashReport }: VmExit,
  more: { readonly isExpected: boolean },
): void {
  const details = system?.Attribution?.map((record) => JSON.stringify(record)).join(" ");
  reportOccurrence("vm exited", {
    ...{ status, reason, ...more },
    ...(details !== undefined && { details }),
    ...(crashReport !== undefined && { crash: crashReport.CrashLog ?? "the host reports no words of the guest" }),
  });
}
