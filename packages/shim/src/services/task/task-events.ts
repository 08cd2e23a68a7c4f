import { type Clock, reportOccurrence } from "@uvm-shim/lifecycle";
import { containerd } from "../../generated/messages.js";
import type { Exit, Log, RootfsMount, StdioPaths } from "../../platform.ts";
import type { EventForwarder } from "../events/events.ts";
import { exitFields } from "../messages.ts";

/** The least time between two out-of-memory events of one container; clients poll statistics about as often. */
const outOfMemoryPauseMs = 5_000;

/**
 * containerd's task events. Most result from a client's call, which bounds their number. Exits are never dropped: there is
 * one for each process that a client has started. The guest decides how often memory runs out, so only one such event per
 * container is in the queue, and the rest are counted.
 */
export class TaskEvents {
  readonly #publish: EventForwarder["publish"];
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #closing = new AbortController();
  /** By container: how often memory has run out since the last event. */
  readonly #unreported = new Map<string, { count: number }>();

  constructor(
    forwarder: Pick<EventForwarder, "publish">,
    { clock, log }: { readonly clock: Clock; readonly log: Log },
  ) {
    this.#publish = (topic, typeUrl, event, options) => forwarder.publish(topic, typeUrl, event, options);
    this.#clock = clock;
    this.#log = log;
  }

  /** Cancels pending waits. */
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

  /** Publishes at once, unless an event for this container is recent or still in the queue. */
  outOfMemory(containerId: string): void {
    reportOccurrence("out of memory", { container: containerId });
    const unreported = this.#unreported.get(containerId);
    if (unreported !== undefined) unreported.count += 1;
    else void this.#reportOutOfMemory(containerId);
  }

  async #reportOutOfMemory(containerId: string): Promise<void> {
    const bytes = containerd.events.TaskOOM.encode({ containerId }).finish();
    const unreported = { count: 0 };
    this.#unreported.set(containerId, unreported);
    do {
      if (unreported.count > 0) this.#logCombined(containerId, unreported.count);
      unreported.count = 0;
      await this.#publish("/tasks/oom", "containerd.events.TaskOOM", bytes);
      await this.#clock.delay(outOfMemoryPauseMs, this.#closing.signal).catch(() => {});
    } while (unreported.count > 0 && this.#unreported.get(containerId) === unreported && !this.#closing.signal.aborted);
    if (this.#unreported.get(containerId) === unreported) this.#unreported.delete(containerId);
  }

  /** Called at the container's exit; at least one out-of-memory event was published before. */
  #stopCounting(containerId: string): void {
    const unreported = this.#unreported.get(containerId);
    this.#unreported.delete(containerId);
    if (unreported !== undefined && unreported.count > 0) this.#logCombined(containerId, unreported.count);
  }

  #logCombined(containerId: string, count: number): void {
    this.#log.log("warn", "out-of-memory events combined into one", { container: containerId, count });
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
