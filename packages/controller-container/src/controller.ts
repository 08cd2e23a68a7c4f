import type { GuestProcess, StdioPaths } from "@uvm-shim/controller-process";
import type { CgroupMetrics, LinuxProcessParameters } from "@uvm-shim/hcs-schema";
import {
  Acquisitions,
  abortable,
  type Exit,
  Lifecycle,
  OperationQueue,
  type Refuse,
  refusing,
  type Step,
  wrapError,
} from "@uvm-shim/lifecycle";
import { type ContainerOperation, type ContainerState, type ContainerStateKind, containerTable } from "./lifecycle.ts";
import type { CreateContainer, LinuxContainerOptions, PodAnchor } from "./plan/options.ts";
import { planContainer } from "./plan/plan.ts";
import type { GuestContainerSteps } from "./resources/guest-container.ts";
import { vmBound } from "./resources/steps.ts";
import type { ContainerRole } from "./specification/membership.ts";
import { checkedProcess, checkedResources, guestProcess } from "./specification/specification.ts";
import type { ContainerProcess, GuestContainer } from "./types.ts";

const initId = "";
const killed = 128 + 9;
/** Exit status of a process that is deleted before its start: nothing failed. */
const neverRan = 0;
/** Statistics before the start, in the form of cgroup v1, as guests report them. */
const noUsage: CgroupMetrics = {
  version: 1,
  metrics: { pids: { current: 0 }, cpu: { usage: { total: 0 } }, memory: { usage: { usage: 0 } } },
};
/** The form of ids in containerd; they become directory names in the guest. */
const idPattern = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$/;

/**
 * One Linux container in a utility VM. Resources of host and guest are recorded when they are acquired, and released in
 * reverse order after any failure. Errors are ControllerErrors; errors in config.json are InvalidArgument and name the
 * field.
 */
export class LinuxContainerController {
  readonly id: string;
  readonly bundle: string;
  readonly #options: LinuxContainerOptions;
  readonly #life: Lifecycle<ContainerState, ContainerStateKind, ContainerOperation>;
  readonly #operations = new OperationQueue();
  readonly #held = new Acquisitions();
  readonly #processes = new Map<string, ContainerProcess>();
  /** Aborts what is under way when the container must end. */
  readonly #ending = new AbortController();
  readonly #vmGone = new AbortController();
  #role: ContainerRole | undefined;
  /** Resolves when the start of the init process has succeeded or failed. */
  #starting: Promise<unknown> = Promise.resolve();

  constructor(options: LinuxContainerOptions) {
    this.id = options.id;
    this.bundle = options.bundle;
    this.#options = options;
    this.#life = new Lifecycle(containerTable, options.id, { kind: "NotCreated" });
  }

  get state(): ContainerStateKind {
    return this.#life.state.kind;
  }

  /** The init process. FailedPrecondition before it has been created. */
  get init(): ContainerProcess {
    const init = this.#processes.get(initId);
    if (init === undefined)
      throw this.#refusing("look up init process of container")(
        "FailedPrecondition",
        "the container has not been created",
      );
    return init;
  }

  /** This container as the anchor of the pod's later containers. */
  get anchor(): PodAnchor {
    const init = this.#processes.get(initId);
    return { isSandbox: this.#role === "sandbox", pid: init?.state === "running" ? init.pid : undefined };
  }

  /** The init process for the empty id, else an exec. */
  process(execId: string): ContainerProcess | undefined {
    return this.#processes.get(execId);
  }

  processes(): readonly ContainerProcess[] {
    return [...this.#processes.values()];
  }

  /**
   * Checks the request, then acquires root file system, mounts, the guest's container and the client's stdio. After a
   * failure nothing is left, and the container is Invalid.
   */
  create(request: CreateContainer, signal?: AbortSignal): Promise<void> {
    return this.#operations.run(async () => {
      this.#life.require("create");
      try {
        const guest = await this.#acquire(request, this.#until(signal));
        this.#life.succeed("create", { kind: "Created", guest });
      } catch (error) {
        this.#life.fail("create", { kind: "Invalid", cause: error });
        throw wrapError(error, "create container", this.id);
      }
      void this.init.wait().then((exit) => this.#initExited(exit));
    }, signal);
  }

  async #acquire(request: CreateContainer, signal: AbortSignal): Promise<GuestContainer> {
    const refuse = this.#refusing("create container");
    if (!idPattern.test(this.id)) {
      throw refuse(
        "InvalidArgument",
        `the id must start with a letter or digit, followed by at most 127 letters, digits, "_", "." or "-"`,
      );
    }
    const plan = await abortable(planContainer(request, this.#options, refuse), signal);
    const { host, inVm, container } = plan;
    this.#role = plan.role;
    await this.#held.acquireAll(
      [...host, ...inVm.map((step) => vmBound(step, this.#vmGone.signal)), this.#initStep(request.stdio, container)],
      signal,
    );
    container.get().onOutOfMemory(() => request.onOutOfMemory?.());
    return container.get();
  }

  #initStep(stdio: StdioPaths, container: GuestContainerSteps): Step {
    return {
      name: "init process",
      acquire: async (signal = this.#ending.signal) => {
        const init = this.#options.createProcess({
          containerId: this.id,
          execId: initId,
          guest: { execute: (parameters, abort) => this.#startInit(container, parameters, abort) },
        });
        this.#processes.set(initId, init);
        await init.create({ stdio }, signal);
        init.expectPid(await this.#pidOfWaiting(container.get(), signal));
      },
      release: async () => {
        const init = this.#processes.get(initId);
        await init?.abandon(killed);
        // A process that could not be created never gets an exit, so it must not be waited for.
        if (init?.exit === undefined) this.#processes.delete(initId);
      },
    };
  }

  /**
   * The guest returns no pid for a created container, but lists the process that waits for its start. 0 if it does not.
   */
  async #pidOfWaiting(container: GuestContainer, signal: AbortSignal): Promise<number> {
    try {
      const pids = await abortable(container.processIds(signal), signal);
      return pids.length === 1 && pids[0] !== undefined ? pids[0] : 0;
    } catch {
      // A policy may deny the request; only the pid depends on it.
      signal.throwIfAborted();
      return 0;
    }
  }

  /** Starting the init process is what starts the container. */
  #startInit(
    container: GuestContainerSteps,
    parameters: LinuxProcessParameters,
    signal: AbortSignal | undefined,
  ): Promise<GuestProcess> {
    this.#life.require("start");
    const starting = this.#startIn(container, parameters, this.#until(signal));
    this.#starting = starting.catch(() => {});
    return starting;
  }

  async #startIn(
    container: GuestContainerSteps,
    parameters: LinuxProcessParameters,
    signal: AbortSignal,
  ): Promise<GuestProcess> {
    try {
      const guest = container.get();
      await abortable(guest.start(signal), signal);
      container.mayRun(true);
      const init = await guest.execute(parameters, signal);
      // From here on its exit is reported.
      container.mayRun(false);
      this.#life.succeed("start", { kind: "Running", guest });
      return init;
    } catch (error) {
      if (this.#life.allows("start")) this.#life.fail("start", { kind: "Invalid", cause: error });
      throw wrapError(error, "start container", this.id);
    }
  }

  /** Execs die with init, whose pid namespace they share; the kill covers guests that do not report it. */
  #initExited(exit: Exit): void {
    this.#life.happen("exited", { kind: "Stopped", exit });
    for (const process of this.#processes.values()) {
      if (process.state === "running") process.kill(9).catch(() => {});
      else void process.abandon(killed);
    }
  }

  /** Creates an exec; `spec` is the OCI process as parsed JSON, unchecked. */
  async createProcess(
    request: { readonly execId: string; readonly spec: unknown; readonly stdio: StdioPaths },
    signal?: AbortSignal,
  ): Promise<ContainerProcess> {
    const { execId, stdio } = request;
    const refuse = this.#refusing(`create process ${execId} in container`);
    const container = this.#running(refuse);
    if (!idPattern.test(execId))
      throw refuse(
        "InvalidArgument",
        `the process id must start with a letter or digit, followed by at most 127 letters, digits, "_", "." or "-"`,
      );
    if (this.#processes.has(execId)) throw refuse("AlreadyExists", "a process with this id exists already");
    const process = guestProcess(checkedProcess(request.spec, refuse), stdio.terminal);
    const exec = this.#options.createProcess({ containerId: this.id, execId, guest: container });
    this.#processes.set(execId, exec);
    try {
      await exec.create({ stdio, process }, this.#until(signal));
      this.#running(refuse);
    } catch (error) {
      this.#processes.delete(execId);
      await exec.abandon(killed);
      throw error;
    }
    return exec;
  }

  /** Removes an exec that has exited or was never started, and returns its exit. */
  async deleteProcess(execId: string): Promise<Exit> {
    const refuse = this.#refusing(`delete process ${JSON.stringify(execId)} of container`);
    if (execId === initId) throw refuse("FailedPrecondition", "the init process is deleted with its container");
    const exec = this.#processes.get(execId);
    if (exec === undefined) throw refuse("NotFound", "no process has this id");
    await exec.abandon(neverRan);
    if (exec.exit === undefined) throw refuse("FailedPrecondition", "the process is running: kill it first");
    this.#processes.delete(execId);
    return exec.exit;
  }

  /** Pids in the guest, with the exec id for processes of execs. */
  async pids(signal?: AbortSignal): Promise<readonly { readonly pid: number; readonly execId?: string }[]> {
    const operation = "list processes of container";
    const state = this.#life.state;
    const pids =
      state.kind === "Created"
        ? await this.#listCreated(state.guest, operation, signal)
        : await this.#ask(operation, (container) => container.processIds(signal), signal);
    const execs = new Map(this.processes().map(({ pid, execId }) => [pid, execId]));
    return pids.map((pid) => {
      const execId = execs.get(pid);
      return execId === undefined || execId === initId ? { pid } : { pid, execId };
    });
  }

  /** Before the start the guest lists the init process, which waits for it. */
  async #listCreated(guest: GuestContainer, operation: string, signal?: AbortSignal): Promise<readonly number[]> {
    try {
      return await abortable(guest.processIds(signal), signal);
    } catch (error) {
      throw wrapError(error, operation, this.id);
    }
  }

  /** Statistics of the guest's kernel; zeros before the start. */
  async statistics(signal?: AbortSignal): Promise<CgroupMetrics> {
    if (this.#life.state.kind === "Created") return noUsage;
    return await this.#ask("measure container", (container) => container.metrics(signal), signal);
  }

  /** Changes the limits of a running container; `resources` are OCI resources as parsed JSON, unchecked. */
  update(resources: unknown, signal?: AbortSignal): Promise<void> {
    const ask = (container: GuestContainer, refuse: Refuse) =>
      container.update(checkedResources(resources, refuse), signal);
    return this.#ask("update container", ask, signal);
  }

  get isPaused(): boolean {
    return this.#life.state.kind === "Paused";
  }

  /** Freezes all processes of a running container. It accepts no execs until it is resumed. */
  pause = (signal?: AbortSignal): Promise<void> => this.#freeze("pause", "Paused", signal);
  resume = (signal?: AbortSignal): Promise<void> => this.#freeze("resume", "Running", signal);

  #freeze(operation: "pause" | "resume", kind: "Paused" | "Running", signal?: AbortSignal): Promise<void> {
    return this.#operations.run(async () => {
      this.#life.require(operation);
      const until = this.#until(signal);
      const guest = this.#alive(this.#refusing(`${operation} container`));
      await this.#ask(`${operation} container`, () => guest[operation](until), until);
      // The container may have ended meanwhile.
      if (this.#life.allows(operation)) this.#life.succeed(operation, { kind, guest });
    }, signal);
  }

  async #ask<T>(
    operation: string,
    ask: (container: GuestContainer, refuse: Refuse) => Promise<T>,
    signal: AbortSignal | undefined,
  ): Promise<T> {
    const refuse = this.#refusing(operation);
    const container = this.#alive(refuse);
    try {
      return await abortable(ask(container, refuse), signal);
    } catch (error) {
      throw wrapError(error, operation, this.id);
    }
  }

  /** Signals all processes of the container; before its start, the init process. */
  async killAll(signalNumber: number, signal?: AbortSignal): Promise<void> {
    const state = this.#life.state;
    if (state.kind !== "Running" && state.kind !== "Paused") return await this.init.kill(signalNumber, signal);
    const signalAll = (guest: GuestContainer, refuse: Refuse): Promise<void> => {
      if (Number.isInteger(signalNumber) && signalNumber >= 1 && signalNumber <= 64) {
        return guest.signalAll(signalNumber, signal);
      }
      throw refuse("InvalidArgument", `invalid signal ${signalNumber}: expected 1 to 64`);
    };
    await this.#ask("kill all processes of container", signalAll, signal);
  }

  /** Kills all processes, and aborts a create or start that is under way. Idempotent, in every state. */
  async terminate(signal?: AbortSignal): Promise<void> {
    this.#ending.abort(this.#refusing("use container")("Cancelled", "the container is being terminated"));
    await this.#operations.run(() => this.#endProcesses(signal), signal);
  }

  async #endProcesses(signal?: AbortSignal): Promise<void> {
    await abortable(this.#starting, signal);
    const state = this.#life.state;
    switch (state.kind) {
      case "NotCreated":
      case "Stopped":
      case "Invalid":
        return;
      case "Created":
        return await this.init.abandon(killed);
      case "Running":
      case "Paused":
        try {
          await abortable(state.guest.terminate(signal), signal);
          await this.init.wait(signal);
        } catch (error) {
          throw wrapError(error, "terminate container", this.id);
        }
    }
  }

  /**
   * Releases all that the container holds, unless it runs. Repeatable after a failure, which keeps what could not be
   * released. The work goes on when the caller stops waiting.
   */
  delete(signal?: AbortSignal): Promise<Exit> {
    const deleting = this.#operations.run(async () => {
      this.#life.require("delete");
      try {
        if (this.#life.state.kind === "Created") {
          this.#ending.abort(this.#refusing("use container")("Cancelled", "the container is being deleted"));
          await this.#starting;
          await this.init.abandon(neverRan);
        }
        await this.#held.releaseAll();
      } catch (error) {
        throw wrapError(error, "delete container", this.id);
      }
      const exit = this.#processes.get(initId)?.exit ?? { status: 255, exitedAt: this.#options.clock.now() };
      this.#life.succeed("delete", { kind: "Stopped", exit });
      return exit;
    });
    return abortable(deleting, signal);
  }

  /** Called when the VM has exited: gives every process an exit and forgets what the VM held. */
  vmExited(exit: { readonly reason: string }): void {
    const error = this.#refusing("use container")("Unavailable", `the VM has exited: ${exit.reason}`);
    this.#vmGone.abort(error);
    this.#ending.abort(error);
    for (const process of this.#processes.values()) process.vmExited(exit);
  }

  #running(refuse: Refuse): GuestContainer {
    const state = this.#life.state;
    if (state.kind === "Running") return state.guest;
    throw refuse("FailedPrecondition", `the container is ${state.kind}, expected Running`);
  }

  #alive(refuse: Refuse): GuestContainer {
    const state = this.#life.state;
    return state.kind === "Paused" ? state.guest : this.#running(refuse);
  }

  #until(signal: AbortSignal | undefined): AbortSignal {
    return signal === undefined ? this.#ending.signal : AbortSignal.any([signal, this.#ending.signal]);
  }

  #refusing(operation: string): Refuse {
    return refusing(operation, this.id);
  }
}
