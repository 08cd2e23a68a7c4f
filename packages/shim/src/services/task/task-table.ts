import { ShimError } from "../../errors.ts";
import type { Container, Exit } from "../../platform.ts";
import type { ProcessRecord } from "../../program/process-record.ts";
import { Creation } from "./creation.ts";

export interface Task {
  readonly container: Container;
  /** By exec id; the init process has the empty one. An exec that is being made holds its id. */
  readonly processes: Map<string, ProcessRecord | Creation>;
  /** Set when the container is given back, while its sandbox may still have to be stopped. */
  exit: Exit | undefined;
}

/** The tasks of a shim, and those that are being made. */
export class TaskTable {
  readonly #tasks = new Map<string, Task | Creation>();
  /** Called when the last task has gone. */
  #onEmpty: () => void = () => {};

  get size(): number {
    return this.#tasks.size;
  }

  get isEmpty(): boolean {
    return this.size === 0;
  }

  has(id: string): boolean {
    return this.#tasks.has(id);
  }

  get(id: string): Task | Creation | undefined {
    return this.#tasks.get(id);
  }

  set(id: string, task: Task | Creation): void {
    this.#tasks.set(id, task);
  }

  delete(id: string): void {
    this.#tasks.delete(id);
    if (this.isEmpty) this.#onEmpty();
  }

  /** With those that come and without those that go meanwhile. */
  entries(): Iterable<[string, Task | Creation]> {
    return this.#tasks.entries();
  }

  /** Resolves when the last task goes, of those that there are. */
  whenEmpty(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#onEmpty = resolve;
    return promise;
  }

  /** The task that has been made. */
  require(id: string): Task {
    const task = this.#tasks.get(id);
    if (task === undefined) throw new ShimError("NotFound", `task ${id} does not exist`);
    if (task instanceof Creation) throw new ShimError("FailedPrecondition", `task ${id} is being created`);
    return task;
  }

  /** The process that has been made: of a task, or of an exec in it. */
  process(request: { readonly id: string; readonly execId: string }): ProcessRecord {
    const record = this.require(request.id).processes.get(request.execId);
    if (record === undefined)
      throw new ShimError("NotFound", `exec ${request.execId} of task ${request.id} does not exist`);
    if (record instanceof Creation) {
      throw new ShimError("FailedPrecondition", `exec ${request.execId} of task ${request.id} is being created`);
    }
    return record;
  }
}
