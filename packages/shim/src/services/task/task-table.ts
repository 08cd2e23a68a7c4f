import { ShimError } from "../../errors.ts";
import type { Container, Exit } from "../../platform.ts";
import { Creation } from "./creation.ts";
import type { ProcessRecord } from "./process-record.ts";

/** A task with its processes. */
export interface Task {
  readonly container: Container;
  /** By exec id, which is empty for the init process. A creation reserves its id. */
  readonly processes: Map<string, ProcessRecord | Creation>;
  /** Set once the container is deleted; its sandbox may still have to be stopped. */
  exit: Exit | undefined;
}

/** The tasks of a shim, including those that are being created. */
export class TaskTable {
  readonly #tasks = new Map<string, Task | Creation>();
  readonly #onChange: (ids: readonly string[]) => void;
  #onEmpty: () => void = () => {};

  /** @param onChange is told of the ids of all tasks whenever one is added or removed. */
  constructor(onChange: (ids: readonly string[]) => void = () => {}) {
    this.#onChange = onChange;
  }

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
    const isNew = !this.#tasks.has(id);
    this.#tasks.set(id, task);
    if (isNew) this.#onChange([...this.#tasks.keys()]);
  }

  delete(id: string): void {
    if (this.#tasks.delete(id)) this.#onChange([...this.#tasks.keys()]);
    if (this.isEmpty) this.#onEmpty();
  }

  /** Live: includes tasks that are added, and skips tasks that are removed, during the iteration. */
  entries(): Iterable<[string, Task | Creation]> {
    return this.#tasks.entries();
  }

  /** Resolves when the last task is removed; only one caller may wait. */
  whenEmpty(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#onEmpty = resolve;
    return promise;
  }

  /** Throws NotFound for an unknown task, FailedPrecondition while it is being created. */
  require(id: string): Task {
    const task = this.#tasks.get(id);
    if (task === undefined) throw new ShimError("NotFound", `task ${id} does not exist`);
    if (task instanceof Creation) throw new ShimError("FailedPrecondition", `task ${id} is being created`);
    return task;
  }

  /** A task's init process or an exec; throws like `require`. */
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
