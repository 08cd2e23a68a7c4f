import { access } from "node:fs/promises";
import { type Clock, settlesWithin } from "@uvm-shim/lifecycle";
import { isOwn, type SandboxSlot } from "./sandbox-slot.ts";

/** How long a client may take to delete the sandbox's own task, in milliseconds; some have none that does. */
const noticeMilliseconds = 1_000;
const lookMilliseconds = 25;
/** For what comes after that, which is within containerd. */
const headStartMilliseconds = 50;
/**
 * For all of it together, with what containerd cleans up before it tells: last it removes the bundle. A deletion has a
 * second more, since looks and waits end late where there is much else to do.
 */
const longestMilliseconds = 3_000;

export interface SandboxFirstOptions {
  readonly slot: SandboxSlot;
  readonly clock: Clock;
  /** Of the sandbox's own task. */
  readonly bundle: string;
}

/**
 * When a VM has ended by itself, the end of its pod is told before that of the containers. containerd takes a container
 * for exited when it has deleted its task, and a kubelet that looks before the pod is not ready starts the container
 * anew in a pod that is dead. Not ready it is when WaitSandbox has answered, or, where the pod has a task of its own,
 * when that is deleted and the shim's `delete` has run.
 */
export class SandboxFirst {
  readonly #options: SandboxFirstOptions;
  readonly #left = Promise.withResolvers<void>();
  #hasLeft = false;

  constructor(options: SandboxFirstOptions) {
    this.#options = options;
  }

  /** Whether the client of the sandbox's own task is done with the shim, which other tasks keep. */
  get hasLeft(): boolean {
    return this.#hasLeft;
  }

  leave(): void {
    this.#hasLeft = true;
    this.#left.resolve();
  }

  /** Resolves when the deletion of a task may be told, which is at once unless it is one of a dead sandbox. */
  async turn(taskId: string, tasks: { has(id: string): boolean }): Promise<void> {
    const { slot, clock } = this.#options;
    const { present } = slot;
    if (present === undefined || isOwn(present, taskId) || present.sandbox.isReady) return;
    if (present.mode === "api") {
      await settlesWithin(present.sandbox.wait(), noticeMilliseconds, clock);
      return;
    }
    if (!this.#hasLeft && !tasks.has(present.sandbox.id)) return;
    const giveUp = new AbortController();
    // By one timer: a hundred looks, each a little late, would be late together by more than there is to spare.
    await settlesWithin(this.#told(giveUp.signal), longestMilliseconds, clock);
    giveUp.abort();
  }

  async #told(until: AbortSignal): Promise<void> {
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
