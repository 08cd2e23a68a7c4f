import { access } from "node:fs/promises";
import { type Clock, settlesWithin } from "@uvm-shim/lifecycle";
import { isOwn, type SandboxSlot } from "./sandbox-slot.ts";

/** How long a client may take to delete the sandbox's own task, in milliseconds; some clients never do. */
const noticeMilliseconds = 1_000;
const lookMilliseconds = 25;
/** For containerd's own work after that. */
const headStartMilliseconds = 50;
/**
 * The limit for all of this together, including containerd's cleanup, which ends with the removal of the bundle. It is a
 * second below the limit of a deletion, because checks and waits end late on a busy machine.
 */
const longestMilliseconds = 3_000;

/** What decides the order in which the end of a pod is told. */
export interface ExitOrderOptions {
  readonly slot: SandboxSlot;
  readonly clock: Clock;
  /** The bundle of the sandbox's own task. */
  readonly bundle: string;
}

/**
 * Reports the end of a pod before the end of its containers when a VM has ended on its own. containerd considers a
 * container exited once its task is deleted; a kubelet that still sees the pod as ready would then restart the container
 * in a dead pod. The pod stops being ready when WaitSandbox has answered or, where the pod has a task of its own, when
 * that task is deleted and the shim's `delete` has run.
 */
export class ExitOrder {
  readonly #options: ExitOrderOptions;
  readonly #left = Promise.withResolvers<void>();
  #hasLeft = false;

  constructor(options: ExitOrderOptions) {
    this.#options = options;
  }

  /** Whether the client of the sandbox's own task has left a shim that still has other tasks. */
  get hasLeft(): boolean {
    return this.#hasLeft;
  }

  leave(): void {
    this.#hasLeft = true;
    this.#left.resolve();
  }

  /** Resolves when the deletion of a task may be reported: at once, unless its sandbox is dead. */
  async afterSandbox(taskId: string, tasks: { has(id: string): boolean }): Promise<void> {
    const { slot, clock } = this.#options;
    const { present } = slot;
    if (present === undefined || isOwn(present, taskId) || present.sandbox.isReady) return;
    if (present.mode === "api") {
      await settlesWithin(present.sandbox.wait(), noticeMilliseconds, clock);
      return;
    }
    if (!this.#hasLeft && !tasks.has(present.sandbox.id)) return;
    const giveUp = new AbortController();
    // One timer for all: the delays of a hundred late checks would add up to more than there is to spare.
    await settlesWithin(this.#sandboxReported(giveUp.signal), longestMilliseconds, clock);
    giveUp.abort();
  }

  async #sandboxReported(until: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    if (!(await settlesWithin(this.#left.promise, noticeMilliseconds, clock))) return;
    while (await this.#hasBundle()) await clock.delay(lookMilliseconds, until);
    await clock.delay(headStartMilliseconds, until);
  }

  #hasBundle(): Promise<boolean> {
    return access(this.#options.bundle).then(
      () => true,
      () => false,
    );
  }
}
