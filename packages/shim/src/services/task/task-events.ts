import type { Clock } from "@uvm-shim/lifecycle";
import { containerd } from "../../generated/messages.js";
import type { Exit, Log, RootfsMount, StdioPaths } from "../../platform.ts";
import type { EventForwarder } from "../events/events.ts";
import { exitFields } from "../messages.ts";

/** Between two events of memory that ran out in the same container, as often as a guest is asked for its figures. */
const outOfMemoryPauseMs = 5_000;

/**
 * containerd's events of tasks: topics, message types and fields. All but two kinds are of calls that a client makes. Of
 * exits, which are never dropped, there is one for each process that a client has started. How often memory runs out is
 * for the guest to say, so one event about it is on its way for each container, and the others are counted.
 */
export class TaskEvents {
  readonly #publish: EventForwarder["publish"];
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #closing = new AbortController();
  /** By container: how often memory has run out since that was told. */
  readonly #untold = new Map<string, { count: number }>();

  constructor(
    forwarder: Pick<EventForwarder, "publish">,
    { clock, log }: { readonly clock: Clock; readonly log: Log },
  ) {
    this.#publish = (topic, typeUrl, event, options) => forwarder.publish(topic, typeUrl, event, options);
    this.#clock = clock;
    this.#log = log;
  }

  /** Lets go of what waits for its time. */
  close(): void {
    this.#closing.abort(new Error("the shim ends"));
  }

  created(task: {
    readonly id: string;
    readonly bundle: string;
    readonly rootfs: readonly RootfsMount[];
    readonly stdio: StdioPaths;
    readonly pid: number;
  }): void {
    const { id: containerId, bundle, rootfs, pid } = task;
    const { stdin, stdout, stderr, terminal } = task.stdio;
    const message = { containerId, bundle, rootfs, pid, io: { stdin, stdout, stderr, terminal } };
    const bytes = containerd.events.TaskCreate.encode(message).finish();
    void this.#publish("/tasks/create", "containerd.events.TaskCreate", bytes);
  }

  started(containerId: string, pid: number): void {
    const bytes = containerd.events.TaskStart.encode({ containerId, pid }).finish();
    void this.#publish("/tasks/start", "containerd.events.TaskStart", bytes);
  }

  execAdded(containerId: string, execId: string): void {
    const bytes = containerd.events.TaskExecAdded.encode({ containerId, execId }).finish();
    void this.#publish("/tasks/exec-added", "containerd.events.TaskExecAdded", bytes);
  }

  execStarted(containerId: string, execId: string, pid: number): void {
    const bytes = containerd.events.TaskExecStarted.encode({ containerId, execId, pid }).finish();
    void this.#publish("/tasks/exec-started", "containerd.events.TaskExecStarted", bytes);
  }

  /** The event names the init process by the container's id. */
  exited(containerId: string, execId: string, pid: number, exit: Exit): void {
    const id = execId === "" ? containerId : execId;
    const bytes = containerd.events.TaskExit.encode({ containerId, id, pid, ...exitFields(exit) }).finish();
    if (execId === "") this.#stopCounting(containerId);
    void this.#publish("/tasks/exit", "containerd.events.TaskExit", bytes, { isKept: true });
  }

  /** Told at once, unless the same of this container has just been told, or is yet to be taken. */
  outOfMemory(containerId: string): void {
    const untold = this.#untold.get(containerId);
    if (untold !== undefined) untold.count += 1;
    else void this.#tellOutOfMemory(containerId);
  }

  async #tellOutOfMemory(containerId: string): Promise<void> {
    const bytes = containerd.events.TaskOOM.encode({ containerId }).finish();
    const untold = { count: 0 };
    this.#untold.set(containerId, untold);
    do {
      if (untold.count > 0) this.#logTogether(containerId, untold.count);
      untold.count = 0;
      await this.#publish("/tasks/oom", "containerd.events.TaskOOM", bytes);
      await this.#clock.delay(outOfMemoryPauseMs, this.#closing.signal).catch(() => {});
    } while (untold.count > 0 && this.#untold.get(containerId) === untold && !this.#closing.signal.aborted);
    if (this.#untold.get(containerId) === untold) this.#untold.delete(containerId);
  }

  /** The container has ended, of which its memory has been told once at least. */
  #stopCounting(containerId: string): void {
    const untold = this.#untold.get(containerId);
    this.#untold.delete(containerId);
    if (untold !== undefined && untold.count > 0) this.#logTogether(containerId, untold.count);
  }

  #logTogether(containerId: string, count: number): void {
    this.#log.log("warn", "events of memory that ran out are told together", { container: containerId, count });
  }

  paused(containerId: string): void {
    const bytes = containerd.events.TaskPaused.encode({ containerId }).finish();
    void this.#publish("/tasks/paused", "containerd.events.TaskPaused", bytes);
  }

  resumed(containerId: string): void {
    const bytes = containerd.events.TaskResumed.encode({ containerId }).finish();
    void this.#publish("/tasks/resumed", "containerd.events.TaskResumed", bytes);
  }

  deleted(containerId: string, pid: number, exit: Exit): void {
    const bytes = containerd.events.TaskDelete.encode({ containerId, pid, ...exitFields(exit) }).finish();
    void this.#publish("/tasks/delete", "containerd.events.TaskDelete", bytes);
  }
}
