import { access } from "node:fs/promises";
import { type Clock, settlesWithin } from "./clock.ts";
import { isOwn, type SandboxSlot } from "./sandbox-slot.ts";

/** How long a client may take to delete the sandbox's own task, in milliseconds; some have none that does. */
const noticeMilliseconds = 1_000;
/** How long containerd may clean up after it before it tells: last it removes the bundle. */
const cleanUpMilliseconds = 2_500;
const lookMilliseconds = 25;
/** For what comes after that, which is within containerd. */
const headStartMilliseconds = 50;

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
    if (!(await settlesWithin(this.#left.promise, noticeMilliseconds, clock))) return;
    for (let waited = 0; waited < cleanUpMilliseconds && (await this.#hasBundle()); waited += lookMilliseconds) {
      await clock.delay(lookMilliseconds);
    }
    await clock.delay(headStartMilliseconds);
  }

  #hasBundle(): Promise<boolean> {
    return access(this.#options.bundle).then(
      () => true,
      () => false,
    );
  }
}
