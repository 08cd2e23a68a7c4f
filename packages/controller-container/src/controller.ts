import { CommonContainer, ContainerCore, type ExitStatuses } from "@uvm-shim/container-common";
import type { GuestProcess, StdioPaths } from "@uvm-shim/controller-process";
import type { CgroupMetrics, LinuxProcessParameters, OciProcess } from "@uvm-shim/hcs-schema";
import { abortable, type Exit, Lifecycle, type Refuse, wrapError } from "@uvm-shim/lifecycle";
import { type ContainerOperation, type ContainerState, type ContainerStateKind, containerTable } from "./lifecycle.ts";
import type { CreateContainer, LinuxContainerOptions, PodAnchor } from "./plan/options.ts";
import { planContainer } from "./plan/plan.ts";
import type { GuestContainerSteps } from "./resources/guest-container.ts";
import type { ContainerRole } from "./specification/membership.ts";
import { checkedProcess, checkedResources, guestProcess } from "./specification/specification.ts";
import type { ContainerProcess, GuestContainer } from "./types.ts";

const killed = 128 + 9;
const statuses: ExitStatuses = { killed, neverRan: 0, unknown: 255 };
/** Statistics before the start, in the form of cgroup v1, as guests report them. */
const noUsage: CgroupMetrics = {
  version: 1,
  metrics: { pids: { current: 0 }, cpu: { usage: { total: 0 } }, memory: { usage: { usage: 0 } } },
};

/**
 * One Linux container in a utility VM. Resources of host and guest are recorded when they are acquired, and released in
 * reverse order after any failure. Errors are ControllerErrors; errors in config.json are InvalidArgument and name the
 * field.
 */
export class LinuxContainerController extends CommonContainer<ContainerStateKind, OciProcess> {
  readonly #options: LinuxContainerOptions;
  readonly #life: Lifecycle<ContainerState, ContainerStateKind, ContainerOperation>;
  readonly #core: ContainerCore<OciProcess>;
  #role: ContainerRole | undefined;
  #canEndWithVm = false;

  constructor(options: LinuxContainerOptions) {
    const core = new ContainerCore<OciProcess>({ id: options.id, statuses, clock: options.clock });
    super(core, options.bundle);
    this.#options = options;
    this.#core = core;
    this.#life = new Lifecycle(containerTable, options.id, { kind: "NotCreated" });
  }

  override get state(): ContainerStateKind {
    return this.#life.state.kind;
  }

  /** This container as the anchor of the pod's later containers. */
  get anchor(): PodAnchor {
    const init = this.#core.processes.knownInit;
    return { isSandbox: this.#role === "sandbox", pid: init?.state === "running" ? init.pid : undefined };
  }

  /**
   * Whether nothing is lost if the VM ends before the container is deleted, once all of its processes have ended: it
   * writes to no disk and has no device.
   */
  get canEndWithVm(): boolean {
    return this.#canEndWithVm;
  }

  /**
   * Checks the request, then acquires root file system, mounts, the guest's container and the client's stdio. After a
   * failure nothing is left, and the container is Invalid.
   */
  create(request: CreateContainer, signal?: AbortSignal): Promise<void> {
    return this.#core.run(
      "create container",
      async () => {
        this.#life.require("create");
        try {
          const guest = await this.#acquire(request, this.#core.until(signal));
          this.#life.succeed("create", { kind: "Created", guest });
        } catch (error) {
          this.#life.fail("create", { kind: "Invalid", cause: error });
          throw wrapError(error, "create container", this.id);
        }
        void this.init.wait().then((exit) => this.#initExited(exit));
      },
      signal,
    );
  }

  async #acquire(request: CreateContainer, signal: AbortSignal): Promise<GuestContainer> {
    const refuse = this.#core.refusing("create container");
    this.#core.checkId(refuse);
    const plan = await abortable(planContainer(request, this.#options, refuse), signal);
    const { host, inVm, container } = plan;
    this.#role = plan.role;
    this.#canEndWithVm = plan.canEndWithVm;
    const init = this.#core.initStep(
      { stdio: request.stdio },
      () =>
        this.#options.createProcess({
          containerId: this.id,
          execId: "",
          guest: { execute: (parameters, abort) => this.#startInit(container, parameters, abort) },
        }),
      (until) => this.#pidOfWaiting(container.get(), until),
    );
    await this.#core.acquire([...host, ...inVm.map(this.#core.inVm), init], signal);
    container.get().onOutOfMemory(() => request.onOutOfMemory?.());
    return container.get();
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
    return this.#core.starting((until) => this.#startIn(container, parameters, until), signal);
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
    this.#core.processes.endAll();
  }

  /** Creates an exec; `spec` is the OCI process as parsed JSON, unchecked. */
  createProcess(
    request: { readonly execId: string; readonly spec: unknown; readonly stdio: StdioPaths },
    signal?: AbortSignal,
  ): Promise<ContainerProcess> {
    const describe = (refuse: Refuse) => guestProcess(checkedProcess(request.spec, refuse), request.stdio.terminal);
    const running = (refuse: Refuse) => this.#running(refuse);
    return this.#core.createExec(request, { running, describe, make: this.#options.createProcess }, signal);
  }

  /** Pids in the guest, with the exec id for processes of execs. */
  async pids(signal?: AbortSignal): Promise<readonly { readonly pid: number; readonly execId?: string }[]> {
    const operation = "list processes of container";
    const state = this.#life.state;
    // Before the start the guest lists the init process, which waits for it.
    const pids = await this.#core.ask(
      operation,
      (refuse) => (state.kind === "Created" ? state.guest : this.#alive(refuse)).processIds(signal),
      signal,
    );
    return pids.map((pid) => {
      const execId = this.#core.processes.execOf(pid);
      return execId === undefined ? { pid } : { pid, execId };
    });
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
    return this.#core.run(
      `${operation} container`,
      async () => {
        this.#life.require(operation);
        const until = this.#core.until(signal);
        const guest = this.#alive(this.#core.refusing(`${operation} container`));
        await this.#ask(`${operation} container`, () => guest[operation](until), until);
        // The container may have ended meanwhile.
        if (this.#life.allows(operation)) this.#life.succeed(operation, { kind, guest });
      },
      signal,
    );
  }

  #ask<T>(
    operation: string,
    ask: (container: GuestContainer, refuse: Refuse) => Promise<T>,
    signal: AbortSignal | undefined,
  ): Promise<T> {
    return this.#core.ask(operation, (refuse) => ask(this.#alive(refuse), refuse), signal);
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
    this.#core.end("the container is being terminated");
    await this.#core.run("terminate container", () => this.#endProcesses(signal), signal);
  }

  async #endProcesses(signal?: AbortSignal): Promise<void> {
    await this.#core.started(signal);
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
    const deleting = this.#core.run("delete container", async () => {
      this.#life.require("delete");
      try {
        if (this.#life.state.kind === "Created") await this.#core.endUnstarted();
        await this.#core.release();
      } catch (error) {
        throw wrapError(error, "delete container", this.id);
      }
      const { exit } = this.#core;
      this.#life.succeed("delete", { kind: "Stopped", exit });
      return exit;
    });
    return abortable(deleting, signal);
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
}
