import type { VmStatistics, VmUpdate } from "@uvm-shim/controller-vm";
import {
  abortable,
  type Clock,
  ControllerError,
  type ErrorCode,
  Lifecycle,
  messageOf,
  OperationQueue,
  withDeadline,
  wrapError,
} from "@uvm-shim/lifecycle";
import { Capacity } from "./capacity.ts";
import { type PodState, type PodStateName, type PodTransition, podTable } from "./lifecycle.ts";
import type { PodContainer, PodExit, PodNetwork, PodSize, PodVm, PodVmExit } from "./types.ts";

export interface PodOptions<Request, Container, Limits> {
  readonly id: string;
  /** The VM, created and not started. It belongs to the pod from now on. */
  readonly vm: PodVm;
  /** Makes the controller of one container; the pod then has it created. */
  readonly newContainer: (request: Request) => Container;
  /** Of the container that holds the pod's namespaces, where the pod makes one by itself. */
  readonly sandboxContainer?: Request;
  /** Absent for pods without a network. */
  readonly network?: PodNetwork<Request>;
  /** Resolves when the guest answers anything at all. */
  readonly pingGuest: (signal: AbortSignal) => Promise<void>;
  /** Resolves when the host answers anything at all. Absent where that is not known to tell anything. */
  readonly pingHost?: ((signal: AbortSignal) => Promise<void>) | undefined;
  readonly clock: Clock;
  /** Whether the VM is large enough for its containers. */
  readonly size: PodSize<Request, Limits>;
  /** Takes a sentence about what is not had as it was asked for. */
  readonly warn: (sentence: string) => void;
}

const publicStates = {
  Created: "created",
  Running: "running",
  Unready: "running",
  Stopped: "stopped",
} as const satisfies { readonly [Name in PodStateName]: string };

/**
 * One pod: a VM and the containers in it by id. Containers are independent of each other, so any number of them is
 * created and deleted at once. Errors are ControllerErrors.
 */
export class PodController<
  Request extends { readonly id: string },
  Container extends PodContainer<Request>,
  Limits = unknown,
> {
  readonly id: string;
  readonly createdAt: Date;
  readonly #options: PodOptions<Request, Container, Limits>;
  readonly #life: Lifecycle<PodState, PodStateName, PodTransition>;
  readonly #starts = new OperationQueue();
  readonly #stops = new OperationQueue();
  readonly #stopping = new AbortController();
  readonly #exited: Promise<PodVmExit>;
  /** Resolves when the VM or the pod's own sandbox container has ended, whichever does first. */
  readonly #ended = Promise.withResolvers<PodExit>();
  readonly #containers = new Map<string, Container>();
  readonly #capacity: Capacity<Request, Limits>;
  /** Ids whose creation is under way. */
  readonly #creating = new Map<string, Container>();
  /** Containers whose creation failed and that could not give back everything yet. */
  readonly #leftovers = new Set<Container>();
  /** The pod's own, which is none of those that its callers know. */
  #sandboxContainer: Container | undefined;
  #pid: number | undefined;
  #isVmTerminated = false;

  constructor(options: PodOptions<Request, Container, Limits>) {
    this.id = options.id;
    this.createdAt = options.clock.now();
    this.#options = options;
    this.#capacity = new Capacity(options);
    this.#life = new Lifecycle(podTable, options.id, { kind: "Created" });
    this.#exited = options.vm.wait().then((exit) => {
      this.#vmExited(exit);
      return exit;
    });
  }

  get state(): "created" | "running" | "stopped" {
    return publicStates[this.#life.state.kind];
  }

  /** Whether containers can be created in it. */
  get isReady(): boolean {
    return this.#life.state.kind === "Running" && !this.#options.vm.isLost;
  }

  /** In the guest, of the pod's own sandbox container; undefined where there is none, or none that has been started. */
  get pid(): number | undefined {
    return this.#pid;
  }

  /** The pod's own sandbox container. */
  get sandboxContainer(): Container | undefined {
    return this.#sandboxContainer;
  }

  /** Starts the VM, and the pod's own sandbox container. When that fails, `stop` is what is left to do. */
  start(signal?: AbortSignal): Promise<{ readonly startedAt: Date }> {
    return this.#starts.run(async () => {
      this.#life.require("start");
      const until = this.#until(signal);
      try {
        await abortable(this.#options.vm.start(until), until);
        await this.#startSandboxContainer(until);
        const startedAt = this.#options.vm.startedAt ?? this.#options.clock.now();
        this.#life.succeed("start", { kind: "Running", startedAt });
        void this.#sandboxContainer?.init.wait().then((exit) => this.#sandboxExited(startedAt, exit));
        return { startedAt };
      } catch (error) {
        throw wrapError(error, "start pod", this.id);
      }
    }, signal);
  }

  async #startSandboxContainer(signal: AbortSignal): Promise<void> {
    const { sandboxContainer: request, network, newContainer } = this.#options;
    if (request === undefined) return;
    await network?.prepare(request, signal);
    const container = newContainer(request);
    this.#sandboxContainer = container;
    await container.create(request, signal);
    this.#pid = await container.init.start(signal);
  }

  #sandboxExited(startedAt: Date, exit: PodExit): void {
    if (this.#life.allows("sandboxExit")) this.#life.happen("sandboxExit", { kind: "Unready", startedAt, exit });
    this.#ended.resolve(exit);
  }

  /**
   * Ends containers and VM, and gives back what containers hold of the host. The time bounds how long the caller
   * waits; what is under way goes on, and a repetition waits for it and retries what failed.
   */
  stop(timeoutMs: number, signal?: AbortSignal): Promise<void> {
    this.#stopping.abort(this.#error("Cancelled", "pod", "it is being stopped"));
    const stopping = this.#stops.run(() => this.#stop(timeoutMs));
    return withDeadline((until) => abortable(stopping, until), {
      ...{ clock: this.#options.clock, milliseconds: timeoutMs, signal },
      error: () =>
        this.#error("DeadlineExceeded", "stop pod", `not ended within ${timeoutMs} ms, and still being stopped`),
    });
  }

  async #stop(timeoutMs: number): Promise<void> {
    const containers = [...this.#containers.values(), ...this.#creating.values(), ...this.#leftovers];
    const own = this.#sandboxContainer === undefined ? [] : [this.#sandboxContainer];
    if (this.#life.state.kind !== "Stopped") {
      await this.#terminateContainers(containers, timeoutMs / 2);
      await this.#leaveNetwork(timeoutMs / 4);
      // Last, as the others and the network are in its namespaces.
      await this.#terminateContainers(own, timeoutMs / 8);
    }
    // Also when the VM has exited: an earlier attempt may have failed to give back what it holds of the host.
    await this.#terminateVm();
    const outcomes = await Promise.allSettled([
      ...[...containers, ...own].map((container) => this.#giveBack(container)),
      this.#options.network?.teardown(),
    ]);
    const failures = outcomes.filter((outcome) => outcome.status === "rejected").map(({ reason }): unknown => reason);
    if (failures.length === 0) return;
    const messages = failures.map(messageOf);
    const cause = failures.length === 1 ? failures[0] : new AggregateError(failures);
    throw this.#error("Internal", "stop pod", messages.join("; "), cause);
  }

  /** So that their processes exit as killed ones do. Those that do not end in time end with the VM. */
  async #terminateContainers(containers: readonly Container[], milliseconds: number): Promise<void> {
    await withDeadline(
      (deadline) => Promise.allSettled(containers.map((item) => abortable(item.terminate(deadline), deadline))),
      {
        ...{ clock: this.#options.clock, milliseconds },
        error: () => this.#error("DeadlineExceeded", "stop pod", `containers have not ended within ${milliseconds} ms`),
      },
    );
  }

  /** In good order while there is a guest. What fails, or takes too long, is retried when the VM has ended. */
  async #leaveNetwork(milliseconds: number): Promise<void> {
    const { network, clock } = this.#options;
    if (network === undefined) return;
    await withDeadline((deadline) => Promise.allSettled([abortable(network.teardown(deadline), deadline)]), {
      ...{ clock, milliseconds },
      error: () => this.#error("DeadlineExceeded", "stop pod", `the network was not left within ${milliseconds} ms`),
    });
  }

  async #terminateVm(): Promise<void> {
    if (this.#isVmTerminated) return;
    try {
      await this.#options.vm.terminate();
      this.#isVmTerminated = true;
    } catch (error) {
      throw wrapError(error, "stop pod", this.id);
    }
    await this.#exited;
  }

  async #giveBack(container: Container): Promise<void> {
    await container.delete();
    this.#leftovers.delete(container);
  }

  /**
   * Resolves once the VM has ended, however it did, and every container has been told; or when the pod's own sandbox
   * container has ended, without which the pod is none.
   */
  wait(signal?: AbortSignal): Promise<PodExit> {
    return abortable(this.#ended.promise, signal);
  }

  /** Changes the VM itself; what is absent stays as it is. */
  update(update: VmUpdate, signal?: AbortSignal): Promise<void> {
    const work = (vm: PodVm, until: AbortSignal) => this.#capacity.change(() => vm.update(update, until), until);
    return this.#withVm("update pod", work, signal);
  }

  /**
   * Changes a container's limits; `resources` are OCI resources as parsed JSON, unchecked. The VM grows first where it
   * has to. What it cannot have is refused, and the container keeps what it had.
   */
  async updateContainer(id: string, resources: unknown, signal?: AbortSignal): Promise<void> {
    await this.#capacity.update(this.#require(id, "update container"), resources, this.#until(signal));
  }

  #until(signal: AbortSignal | undefined): AbortSignal {
    return signal === undefined ? this.#stopping.signal : AbortSignal.any([signal, this.#stopping.signal]);
  }

  /** What the host measures of the VM as a whole. */
  statistics(signal?: AbortSignal): Promise<VmStatistics> {
    return this.#withVm("measure pod", (vm, until) => vm.statistics(until), signal);
  }

  /** Resolves when the guest answers; one that hangs does not. */
  ping(signal?: AbortSignal): Promise<void> {
    return this.#withVm("ping guest of pod", (_, until) => this.#options.pingGuest(until), signal);
  }

  /** Resolves when the host answers; one that hangs does not. At once where that would tell nothing. */
  async pingHost(signal?: AbortSignal): Promise<void> {
    const { pingHost } = this.#options;
    if (pingHost !== undefined) await this.#withVm("ping host of pod", (_, until) => pingHost(until), signal);
  }

  async #withVm<T>(
    operation: string,
    work: (vm: PodVm, until: AbortSignal) => Promise<T>,
    signal: AbortSignal | undefined,
  ): Promise<T> {
    if (this.state !== "running") {
      throw this.#error("FailedPrecondition", operation, `the pod is not running but ${this.state}`);
    }
    const until = this.#until(signal);
    try {
      return await abortable(work(this.#options.vm, until), until);
    } catch (error) {
      throw wrapError(error, operation, this.id);
    }
  }

  /** AlreadyExists for an id that is taken; when the creation fails, the id is free again. */
  async createContainer(request: Request, signal?: AbortSignal): Promise<Container> {
    const { id } = request;
    this.#requireRoomFor(id);
    const until = this.#until(signal);
    await this.#options.network?.prepare(request, until);
    return await this.#capacity.admit(request, () => this.#create(request, signal), until);
  }

  async #create(request: Request, signal: AbortSignal | undefined): Promise<Container> {
    const { id } = request;
    this.#requireRoomFor(id);
    const container = this.#options.newContainer(request);
    this.#creating.set(id, container);
    try {
      await container.create(request, signal);
      this.#containers.set(id, container);
      return container;
    } catch (error) {
      await this.#discard(container);
      throw error;
    } finally {
      this.#creating.delete(id);
    }
  }

  #requireRoomFor(id: string): void {
    if (!this.isReady || this.#stopping.signal.aborted) {
      const why = this.#whyNotReady();
      throw this.#error("FailedPrecondition", `create container ${id} in pod`, why);
    }
    if (this.#containers.has(id) || this.#creating.has(id) || this.#sandboxContainer?.id === id) {
      throw this.#error("AlreadyExists", `create container ${id} in pod`, "there is a container of this id");
    }
  }

  #whyNotReady(): string {
    if (this.#life.state.kind === "Unready") return "its sandbox container has ended";
    const isLost = this.state === "running" && this.#options.vm.isLost;
    return isLost ? "its guest is gone, and its VM is ending" : `the pod is not running but ${this.state}`;
  }

  /** What a failed creation has not given back is kept, so that stopping the pod can. */
  async #discard(container: Container): Promise<void> {
    this.#leftovers.add(container);
    try {
      await this.#giveBack(container);
    } catch {
      // The error of the creation says it already, and `stop` reports what it cannot give back either.
    }
  }

  container(id: string): Container | undefined {
    return this.#containers.get(id);
  }

  containers(): readonly Container[] {
    return [...this.#containers.values()];
  }

  #require(id: string, operation: string): Container {
    const container = this.#containers.get(id);
    if (container !== undefined) return container;
    throw this.#error("NotFound", `${operation} ${id} of pod`, "there is no container of this id");
  }

  /** Gives back all that the container holds and forgets it; when that fails, it is kept and can be repeated. */
  async deleteContainer(id: string, signal?: AbortSignal): Promise<PodExit> {
    const container = this.#require(id, "delete container");
    const deleting = this.#deleteBesideEnd(container).then((exit) => {
      this.#capacity.release(container);
      if (this.#containers.get(id) === container) this.#containers.delete(id);
      return exit;
    });
    return await abortable(deleting, signal);
  }

  /**
   * What is released while the VM ends fails in many ways, of host and of guest; all of it ends with the VM. It counts
   * as released only then, since the host's disks are in use until the VM has ended.
   */
  async #deleteBesideEnd(container: Container): Promise<PodExit> {
    try {
      return await container.delete();
    } catch (error) {
      if (!this.#stopping.signal.aborted) throw error;
      // Behind the stop that is under way.
      await this.#stops.run(async () => {});
      if (this.#life.state.kind !== "Stopped") throw error;
      return await container.delete();
    }
  }

  #vmExited(exit: PodVmExit): void {
    this.#life.happen("vmExit", { kind: "Stopped", exit });
    for (const container of [...this.#containers.values(), ...this.#creating.values(), ...this.#leftovers]) {
      container.vmExited(exit);
    }
    this.#sandboxContainer?.vmExited(exit);
    this.#ended.resolve(exit);
  }

  #error(code: ErrorCode, operation: string, message: string, cause?: unknown): ControllerError {
    return new ControllerError(code, message, { operation, id: this.id, cause });
  }
}
