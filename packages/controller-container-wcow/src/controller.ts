import { CommonContainer, ContainerCore, type ExitStatuses } from "@uvm-shim/container-common";
import type { StdioPaths, WindowsProcessDescription } from "@uvm-shim/controller-process";
import {
  type WindowsContainerStatistics,
  type WindowsProcessDetails,
  type WindowsProcessParameters,
  windowsSignalEffect,
  windowsSignalsExpected,
} from "@uvm-shim/hcs-schema";
import {
  abortable,
  type ControllerError,
  type Exit,
  Lifecycle,
  messageOf,
  type Refuse,
  settlesWithin,
  wrapError,
} from "@uvm-shim/lifecycle";
import { InitProcess } from "./init-process.ts";
import { type ContainerOperation, type ContainerState, type ContainerStateKind, containerTable } from "./lifecycle.ts";
import type { AddedMount, CreateWindowsContainer, WindowsContainerOptions } from "./options.ts";
import { planWindowsContainer, type WindowsContainerPlan } from "./plan/plan.ts";
import { checkedProcess, describedProcess } from "./process.ts";
import { addedMountStep } from "./resources/added-mount.ts";
import { endsWithin, type GuestContainerSteps, shutDown } from "./resources/guest-container.ts";
import { resourcesOf } from "./resources/steps.ts";
import type { ContainerProcess, GuestContainer, WindowsGuestProcess } from "./types.ts";
import { changesOf } from "./update.ts";

/** As the reference's shim reports them. */
const statuses: ExitStatuses = { killed: 1, neverRan: 0, unknown: 255 };

/**
 * One Windows container in a utility VM. It outlives its init process: it is shut down then, and its exit is published
 * when it has ended and what it held is released. Errors are ControllerErrors; errors in config.json are InvalidArgument
 * and name the field.
 */
export class WindowsContainerController extends CommonContainer<ContainerStateKind, WindowsProcessDescription> {
  readonly #options: WindowsContainerOptions;
  readonly #life: Lifecycle<ContainerState, ContainerStateKind, ContainerOperation>;
  readonly #core: ContainerCore<WindowsProcessDescription>;
  #plan: WindowsContainerPlan | undefined;

  constructor(options: WindowsContainerOptions) {
    const core = new ContainerCore<WindowsProcessDescription>({ id: options.id, statuses, clock: options.clock });
    super(core, options.bundle);
    this.#options = options;
    this.#core = core;
    this.#life = new Lifecycle(containerTable, options.id, { kind: "NotCreated" });
  }

  override get state(): ContainerStateKind {
    return this.#life.state.kind;
  }

  /**
   * Checks the request, then acquires layers, mounts, devices, the guest's container and the client's stdio. After a
   * failure nothing is left, and the container is Invalid.
   */
  create(request: CreateWindowsContainer, signal?: AbortSignal): Promise<void> {
    return this.#core.run(
      "create container",
      async () => {
        this.#life.require("create");
        try {
          const guest = await this.#acquire(request, this.#core.until(signal));
          this.#life.succeed("create", { kind: "Created", guest });
          void guest.exited.then(() => this.#guestEnded());
        } catch (error) {
          this.#life.fail("create", { kind: "Invalid", cause: error });
          throw wrapError(error, "create container", this.id);
        }
      },
      signal,
    );
  }

  async #acquire(request: CreateWindowsContainer, signal: AbortSignal): Promise<GuestContainer> {
    const { id, warn } = this.#options;
    const refuse = this.#core.refusing("create container");
    this.#core.checkId(refuse);
    const plan = await abortable(planWindowsContainer(request, { ...this.#options.plan, id, warn }, refuse), signal);
    this.#plan = plan;
    if (plan.process === undefined) {
      throw refuse("InvalidArgument", "config.json: process is missing, expected the program to run");
    }
    const process = describedProcess(plan.process, plan.annotations, "config.json: process", refuse);
    const { paths, vm } = this.#options.plan;
    const boundaries = { ...this.#options, paths, isConfidential: vm.isConfidential };
    const { steps, container } = resourcesOf(plan, boundaries, this.#core.inVm, refuse);
    const init = this.#core.initStep(
      { stdio: request.stdio, process },
      () => this.#newInit(container),
      async () => 0,
    );
    await this.#core.acquire([...steps, init], signal);
    return container.get();
  }

  #newInit(container: GuestContainerSteps): InitProcess {
    const init = new InitProcess(
      this.#options.createProcess({
        containerId: this.id,
        execId: "",
        guest: { execute: (parameters, abort) => this.#startInit(container, parameters, abort) },
      }),
    );
    void init.ended.then((exit) => this.#end(init, exit));
    return init;
  }

  /** Starting the init process is what starts the container. */
  #startInit(
    container: GuestContainerSteps,
    parameters: WindowsProcessParameters,
    signal: AbortSignal | undefined,
  ): Promise<WindowsGuestProcess> {
    this.#life.require("start");
    return this.#core.starting((until) => this.#startIn(container.get(), parameters, until), signal);
  }

  async #startIn(
    guest: GuestContainer,
    parameters: WindowsProcessParameters,
    signal: AbortSignal,
  ): Promise<WindowsGuestProcess> {
    try {
      await abortable(guest.start(signal), signal);
      const init = await guest.execute(parameters, signal);
      this.#life.succeed("start", { kind: "Running", guest });
      return init;
    } catch (error) {
      if (this.#life.allows("start")) this.#life.fail("start", { kind: "Invalid", cause: error });
      throw wrapError(error, "start container", this.id);
    }
  }

  /** The container has ended before its init process has, or before that was reported. */
  #guestEnded(): void {
    const { init } = this.#core.processes;
    if (init.state === "running") init.kill(9).catch(() => {});
    else void init.abandon(statuses.killed);
  }

  /**
   * Ends the container after its init process, and publishes the exit, whatever fails: what could not be released is
   * kept for the deletion.
   */
  async #end(init: InitProcess, exit: Exit): Promise<void> {
    const { state } = this.#life;
    if (state.kind === "Created" || state.kind === "Running") {
      this.#life.happen("initExited", { kind: "Ending", guest: state.guest });
    }
    if (state.kind === "Running" && !(await this.#shutDown(state.guest))) {
      this.#options.warn(`container ${this.id} was not shut down within ${endsWithin} ms: it is terminated`);
    }
    try {
      await this.#core.release();
    } catch (error) {
      this.#options.warn(`container ${this.id} holds resources until its deletion: ${messageOf(error)}`);
    }
    this.#core.processes.endAll();
    this.#life.happen("ended", { kind: "Stopped", exit });
    init.publish(exit);
  }

  /** True also when the container is to be ended at once, which the release of what it holds does. */
  async #shutDown(guest: GuestContainer): Promise<boolean> {
    const until = this.#core.until(undefined);
    return until.aborted || (await shutDown(guest, this.#options.clock, until)) || until.aborted;
  }

  /** Creates an exec; `spec` is the OCI process as parsed JSON, unchecked. */
  createProcess(
    request: { readonly execId: string; readonly spec: unknown; readonly stdio: StdioPaths },
    signal?: AbortSignal,
  ): Promise<ContainerProcess> {
    const describe = (refuse: Refuse) =>
      describedProcess(checkedProcess(request.spec, refuse), this.#plan?.annotations ?? {}, "process", refuse);
    const running = (refuse: Refuse) => this.#running(refuse);
    return this.#core.createExec(request, { running, describe, make: this.#options.createProcess }, signal);
  }

  /** Processes in the guest, with the exec id for processes of execs. Before the start there are none. */
  async pids(
    signal?: AbortSignal,
  ): Promise<readonly { readonly pid: number; readonly execId?: string; readonly details: WindowsProcessDetails }[]> {
    if (this.#life.state.kind === "Created") return [];
    const processes = await this.#ask("list processes of container", (guest) => guest.processes(signal), signal);
    return processes.map((details) => {
      const execId = this.#core.processes.execOf(details.ProcessId);
      return { pid: details.ProcessId, ...(execId !== undefined && { execId }), details };
    });
  }

  /** As the guest measures the container; nothing before the start. */
  async statistics(
    signal?: AbortSignal,
  ): Promise<{ readonly version: "windows"; readonly metrics: WindowsContainerStatistics }> {
    if (this.#life.state.kind === "Created") return { version: "windows", metrics: {} };
    const metrics = await this.#ask("measure container", (guest) => guest.statistics(signal), signal);
    return { version: "windows", metrics };
  }

  /** Changes the limits of a running container; `resources` are OCI resources as parsed JSON, unchecked. */
  update(resources: unknown, signal?: AbortSignal): Promise<void> {
    const { processors } = this.#options.plan.vm;
    const change = async (guest: GuestContainer, refuse: Refuse): Promise<void> => {
      for (const request of changesOf(resources, processors, refuse)) await guest.modify(request, signal);
    };
    return this.#ask("update container", change, signal);
  }

  /** Shares a directory or file of the host with a running container. */
  addMount(mount: AddedMount, signal?: AbortSignal): Promise<void> {
    return this.#core.run(
      "add mount to container",
      async () => {
        const operation = "add mount to container";
        const refuse = this.#core.refusing(operation);
        const until = this.#core.until(signal);
        try {
          const guest = this.#running(refuse);
          const surroundings = { shares: this.#options.shares, ...this.#options.plan };
          const step = await addedMountStep(mount, guest, surroundings, refuse);
          await this.#core.acquireMore(this.#core.inVm(step), () => void this.#running(refuse), until);
        } catch (error) {
          throw wrapError(error, operation, this.id);
        }
      },
      signal,
    );
  }

  readonly isPaused = false;

  async pause(): Promise<void> {
    throw this.#unpausable("pause container");
  }

  async resume(): Promise<void> {
    throw this.#unpausable("resume container");
  }

  #unpausable(operation: string): ControllerError {
    return this.#core.refusing(operation)("Unimplemented", "guests of Windows have no request that pauses a container");
  }

  #ask<T>(
    operation: string,
    ask: (container: GuestContainer, refuse: Refuse) => Promise<T>,
    signal: AbortSignal | undefined,
  ): Promise<T> {
    return this.#core.ask(operation, (refuse) => ask(this.#alive(refuse), refuse), signal);
  }

  /** Signals all processes of clients, the init process last. An exec that cannot be signalled is only warned of. */
  async killAll(signalNumber: number, signal?: AbortSignal): Promise<void> {
    const refuse = this.#core.refusing("kill all processes of container");
    if (windowsSignalEffect(signalNumber) === undefined) {
      throw refuse("InvalidArgument", `invalid signal ${signalNumber}: expected ${windowsSignalsExpected}`);
    }
    const { init } = this.#core.processes;
    for (const exec of this.#core.processes.all()) {
      if (exec === init || exec.state !== "running") continue;
      await exec.kill(signalNumber, signal).catch((error: unknown) => {
        this.#options.warn(`exec ${exec.execId} of container ${this.id} got no signal: ${messageOf(error)}`);
      });
    }
    await init.kill(signalNumber, signal);
  }

  /** Kills all processes, and aborts a create or start that is under way. Idempotent, in every state. */
  async terminate(signal?: AbortSignal): Promise<void> {
    this.#core.end("the container is being terminated");
    await this.#core.run("terminate container", () => this.#terminate(signal), signal);
  }

  async #terminate(signal?: AbortSignal): Promise<void> {
    await this.#core.started(signal);
    const { state } = this.#life;
    switch (state.kind) {
      case "NotCreated":
      case "Stopped":
        return;
      case "Created":
        await this.init.abandon(statuses.killed);
        break;
      case "Running":
        try {
          await abortable(state.guest.terminate(signal), signal);
        } catch (error) {
          throw wrapError(error, "terminate container", this.id);
        }
        break;
      case "Ending":
      case "Invalid":
        break;
    }
    // Without an init process a creation has failed.
    await this.#core.processes.knownInit?.wait(signal);
  }

  /**
   * Releases all that the container still holds, unless it runs. Repeatable after a failure, which keeps what could not
   * be released. The work goes on when the caller stops waiting.
   */
  delete(signal?: AbortSignal): Promise<Exit> {
    const deleting = this.#core.run("delete container", async () => {
      try {
        if (this.#life.state.kind === "Created") await this.#core.endUnstarted();
        await this.#untilEnded();
        this.#life.require("delete");
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

  async #untilEnded(): Promise<void> {
    const init = this.#core.processes.knownInit;
    if (init?.hasEnded !== true) return;
    if (await settlesWithin(init.wait(), endsWithin, this.#options.clock)) return;
    const refuse = this.#core.refusing("delete container");
    throw refuse(
      "DeadlineExceeded",
      `the container is still ending after ${endsWithin} ms: its deletion can be repeated`,
    );
  }

  #running(refuse: Refuse): GuestContainer {
    const { state } = this.#life;
    if (state.kind === "Running") return state.guest;
    throw refuse("FailedPrecondition", `the container is ${state.kind}, expected Running`);
  }

  #alive(refuse: Refuse): GuestContainer {
    const { state } = this.#life;
    return state.kind === "Ending" ? state.guest : this.#running(refuse);
  }
}
