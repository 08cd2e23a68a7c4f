import type { EventForwarder } from "./events.ts";
import { containerd } from "./generated/messages.js";
import { exitFields } from "./messages.ts";
import type { Exit, RootfsMount, StdioPaths } from "./types.ts";

/** containerd's events of tasks: topics, message types and fields. */
export class TaskEvents {
  readonly #publish: EventForwarder["publish"];

  constructor(forwarder: Pick<EventForwarder, "publish">) {
    this.#publish = (topic, typeUrl, event) => forwarder.publish(topic, typeUrl, event);
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
    this.#publish("/tasks/create", "containerd.events.TaskCreate", bytes);
  }

  started(containerId: string, pid: number): void {
    const bytes = containerd.events.TaskStart.encode({ containerId, pid }).finish();
    this.#publish("/tasks/start", "containerd.events.TaskStart", bytes);
  }

  execAdded(containerId: string, execId: string): void {
    const bytes = containerd.events.TaskExecAdded.encode({ containerId, execId }).finish();
    this.#publish("/tasks/exec-added", "containerd.events.TaskExecAdded", bytes);
  }

  execStarted(containerId: string, execId: string, pid: number): void {
    const bytes = containerd.events.TaskExecStarted.encode({ containerId, execId, pid }).finish();
    this.#publish("/tasks/exec-started", "containerd.events.TaskExecStarted", bytes);
  }

  /** The event names the init process by the container's id. */
  exited(containerId: string, execId: string, pid: number, exit: Exit): void {
    const id = execId === "" ? containerId : execId;
    const bytes = containerd.events.TaskExit.encode({ containerId, id, pid, ...exitFields(exit) }).finish();
    this.#publish("/tasks/exit", "containerd.events.TaskExit", bytes);
  }

  outOfMemory(containerId: string): void {
    const bytes = containerd.events.TaskOOM.encode({ containerId }).finish();
    this.#publish("/tasks/oom", "containerd.events.TaskOOM", bytes);
  }

  paused(containerId: string): void {
    const bytes = containerd.events.TaskPaused.encode({ containerId }).finish();
    this.#publish("/tasks/paused", "containerd.events.TaskPaused", bytes);
  }

  resumed(containerId: string): void {
    const bytes = containerd.events.TaskResumed.encode({ containerId }).finish();
    this.#publish("/tasks/resumed", "containerd.events.TaskResumed", bytes);
  }

  deleted(containerId: string, pid: number, exit: Exit): void {
    const bytes = containerd.events.TaskDelete.encode({ containerId, pid, ...exitFields(exit) }).finish();
    this.#publish("/tasks/delete", "containerd.events.TaskDelete", bytes);
  }
}
