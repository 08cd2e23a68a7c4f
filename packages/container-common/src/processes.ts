import type { StdioPaths } from "@uvm-shim/controller-process";
import { type Exit, refusing } from "@uvm-shim/lifecycle";
import { checkId } from "./checks.ts";
import type { ContainerProcess } from "./types.ts";

const initId = "";

/** Status of processes that the container's controller ends itself. */
export interface ExitStatuses {
  /** Ended before its start, since the container ends. */
  readonly killed: number;
  /** Deleted before its start: nothing failed. */
  readonly neverRan: number;
  /** Nothing is known of its end. */
  readonly unknown: number;
}

/** A further process in a container that exists. `Description` is how its guest's flavour describes processes. */
export interface ExecRequest<Description> {
  readonly execId: string;
  readonly stdio: StdioPaths;
  readonly process: Description;
}

/** The init process of a container and its execs, by id. */
export class ContainerProcesses<Description> {
  readonly #containerId: string;
  readonly #statuses: ExitStatuses;
  readonly #processes = new Map<string, ContainerProcess<Description>>();

  constructor(containerId: string, statuses: ExitStatuses) {
    this.#containerId = containerId;
    this.#statuses = statuses;
  }

  /** FailedPrecondition before it has been created. */
  get init(): ContainerProcess<Description> {
    const init = this.knownInit;
    if (init !== undefined) return init;
    const refuse = refusing("look up init process of container", this.#containerId);
    throw refuse("FailedPrecondition", "the container has not been created");
  }

  get knownInit(): ContainerProcess<Description> | undefined {
    return this.#processes.get(initId);
  }

  /** The init process for the empty id, else an exec. */
  get(execId: string): ContainerProcess<Description> | undefined {
    return this.#processes.get(execId);
  }

  all(): readonly ContainerProcess<Description>[] {
    return [...this.#processes.values()];
  }

  setInit(init: ContainerProcess<Description>): void {
    this.#processes.set(initId, init);
  }

  /** A process that could not be created never gets an exit, so it must not be waited for. */
  async abandonInit(): Promise<void> {
    const init = this.knownInit;
    await init?.abandon(this.#statuses.killed);
    if (init?.hasEnded !== true) this.#processes.delete(initId);
  }

  /** Checks the id of a new exec. */
  checkNew(execId: string): void {
    const refuse = refusing(`create process ${execId} in container`, this.#containerId);
    checkId(execId, "the process id", refuse);
    if (this.#processes.has(execId)) throw refuse("AlreadyExists", "a process with this id exists already");
  }

  /** Creates an exec. `check` throws once its container no longer takes execs. */
  async create(
    exec: ContainerProcess<Description>,
    { stdio, process }: ExecRequest<Description>,
    check: () => void,
    signal: AbortSignal,
  ): Promise<ContainerProcess<Description>> {
    this.#processes.set(exec.execId, exec);
    try {
      await exec.create({ stdio, process }, signal);
      check();
    } catch (error) {
      this.#processes.delete(exec.execId);
      await exec.abandon(this.#statuses.killed);
      throw error;
    }
    return exec;
  }

  /** Removes an exec that has exited or was never started, and returns its exit. */
  async delete(execId: string): Promise<Exit> {
    const refuse = refusing(`delete process ${JSON.stringify(execId)} of container`, this.#containerId);
    if (execId === initId) throw refuse("FailedPrecondition", "the init process is deleted with its container");
    const exec = this.#processes.get(execId);
    if (exec === undefined) throw refuse("NotFound", "no process has this id");
    await exec.abandon(this.#statuses.neverRan);
    if (exec.exit === undefined) throw refuse("FailedPrecondition", "the process is running: kill it first");
    this.#processes.delete(execId);
    return exec.exit;
  }

  /** Kills all that still run. Those that were never started get an exit. */
  endAll(): void {
    for (const process of this.#processes.values()) {
      if (process.state === "running") process.kill(9).catch(() => {});
      else void process.abandon(this.#statuses.killed);
    }
  }

  /** The exec id of a process by its pid in the guest; undefined for init and for what processes have started. */
  execOf(pid: number): string | undefined {
    const execId = this.all().findLast((process) => process.pid === pid)?.execId;
    return execId === initId ? undefined : execId;
  }

  vmExited(exit: { readonly reason: string }): void {
    for (const process of this.#processes.values()) process.vmExited(exit);
  }
}
