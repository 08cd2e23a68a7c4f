import type { VmExit, VmStatistics, VmUpdate } from "@uvm-shim/controller-vm";
import {
  abortable,
  ControllerError,
  type ErrorCode,
  type Exit,
  Lifecycle,
  messageOf,
  OperationQueue,
  withDeadline,
  wrapError,
} from "@uvm-shim/lifecycle";
import { Capacity } from "./capacity.ts";
import { PodContainers } from "./containers.ts";
import { Diagnosis, type PodProgramRequest, type PodShare } from "./diagnosis.ts";
import { type PodOperation, type PodState, type PodStateKind, podTable } from "./lifecycle.ts";
import type { PodOptions } from "./options.ts";
import type { PodContainer, PodVm } from "./types.ts";

const publicStates = {
  Created: "created",
  Running: "running",
  Unready: "running",
  Stopped: "stopped",
} as const satisfies { readonly [Name in PodStateKind]: string };

/**
 * One pod: a VM and its containers by id. Containers are independent of each other, so any number of them can be
 * created and deleted at the same time. Errors are ControllerErrors.
 */
export class PodController<
  Request extends { readonly id: string },
  Container extends PodContainer<Request>,
  Limits = unknown,
  Devices extends object = object,
> {
  readonly id: string;
  readonly createdAt: Date;
  readonly #options: PodOptions<Request, Container, Limits, Devices>;
  readonly #life: Lifecycle<PodState, PodStateKind, PodOperation>;
  readonly #starts = new OperationQueue();
  readonly #stops = new OperationQueue();
  readonly #stopping = new AbortController();
  readonly #exited: Promise<VmExit>;
  /** Resolves when the VM or the pod's own sandbox container has ended, whichever comes first. */
  readonly #ended = Promise.withResolvers<Exit>();
  readonly #containers: PodContainers<Request, Container>;
  readonly #capacity: Capacity<Request, Limits>;
  readonly #diagnosis: Diagnosis;
  #pid: number | undefined;
  #isVmTerminated = false;

  constructor(options: PodOptions<Request, Container, Limits, Devices>) {
    this.id = options.id;
    this.createdAt = options.clock.now();
    this.#options = options;
    this.#containers = new PodContainers(options.id, options.newContainer);
    this.#capacity = new Capacity(options);
    this.#diagnosis = new Diagnosis(options.id, options.diagnosis);
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

  /** Pid in the guest of the pod's own sandbox container; undefined unless that has been started. */
  get pid(): number | undefined {
    return this.#pid;
  }

  /** The pod's own sandbox container, which is not in `containers()`. */
  get sandboxContainer(): Container | undefined {
    return this.#containers.own;
  }

  /** Starts the VM and the pod's own sandbox container. After a failure, call `stop`. */
  start(signal?: AbortSignal): Promise<{ readonly startedAt: Date }> {
    return this.#starts.run(async () => {
      this.#life.require("start");
      const until = this.#until(signal);
      try {
        this.#options.earlyWork?.begin();
        await abortable(this.#options.vm.start(until), until);
        await this.#options.network?.open?.(until);
        await this.#startSandboxContainer(until);
        const { startedAt: booted = this.createdAt } = this.#options.vm;
        // A VM may have been ready before its pod.
        const startedAt = booted > this.createdAt ? booted : this.#options.clock.now();
        this.#life.succeed("start", { kind: "Running", startedAt });
        void this.#containers.own?.init.wait().then((exit) => this.#sandboxExited(startedAt, exit));
        return { startedAt };
      } catch (error) {
        throw wrapError(error, "start pod", this.id);
      }
    }, signal);
  }

  async #startSandboxContainer(signal: AbortSignal): Promise<void> {
    const { sandboxContainer: request, network } = this.#options;
    if (request === undefined) return;
    await network?.prepare(request, signal);
    const container = await this.#containers.createOwn(request, signal);
    this.#pid = await container.init.start(signal);
  }

  #sandboxExited(startedAt: Date, exit: Exit): void {
    if (this.#life.allows("sandboxExited")) this.#life.happen("sandboxExited", { kind: "Unready", startedAt, exit });
    this.#ended.resolve(exit);
  }

  /**
   * Ends the containers and the VM, and releases what containers hold on the host. `timeoutMs` bounds how long the
   * caller waits: the work goes on, and a repeated call waits for it and retries what failed.
   */
  stop(timeoutMs: number, signal?: AbortSignal): Promise<void> {
    this.#stopping.abort(this.#error("Cancelled", "use pod", "the pod is being stopped"));
    const stopping = this.#stops.run(() => this.#stop(timeoutMs));
    return withDeadline((until) => abortable(stopping, until), {
      ...{ clock: this.#options.clock, milliseconds: timeoutMs, signal },
      error: () =>
        this.#error("DeadlineExceeded", "stop pod", `the pod has not stopped within ${timeoutMs} ms: stopping goes on`),
    });
  }

  async #stop(timeoutMs: number): Promise<void> {
    const { others } = this.#containers;
    const own = this.#ownContainers();
    if (this.#life.state.kind !== "Stopped") {
      await this.#terminateContainers(others, timeoutMs / 2);
      await this.#leaveNetwork(timeoutMs / 4);
      // Last: the other containers and the network use its namespaces.
      await this.#terminateContainers(own, timeoutMs / 8);
    }
    // Also when the VM has exited: an earlier attempt may have failed to release resources of the host.
    await this.#terminateVm();
    const outcomes = await Promise.allSettled([
      ...[...others, ...own].map((container) => this.#containers.giveBack(container)),
      this.#options.network?.teardown(),
      this.#options.earlyWork?.release(),
      this.#diagnosis.release(),
    ]);
    const failures = outcomes.filter((outcome) => outcome.status === "rejected").map(({ reason }): unknown => reason);
    if (failures.length === 0) return;
    const messages = failures.map(messageOf);
    const cause = failures.length === 1 ? failures[0] : new AggregateError(failures);
    throw this.#error("Internal", "stop pod", messages.join("; "), cause);
  }

  /**
   * Kills containers, so that their processes get the exit status of a kill. What does not end in time ends with the
   * VM.
   */
  async #terminateContainers(containers: readonly Container[], milliseconds: number): Promise<void> {
    await withDeadline(
      (deadline) => Promise.allSettled(containers.map((item) => abortable(item.terminate(deadline), deadline))),
      {
        ...{ clock: this.#options.clock, milliseconds },
        error: () => this.#error("DeadlineExceeded", "stop pod", `containers have not ended within ${milliseconds} ms`),
      },
    );
  }

  /**
   * Tears the network down while there is a guest. If that fails or takes too long, it is retried after the VM's end.
   */
  async #leaveNetwork(milliseconds: number): Promise<void> {
    const { network, clock } = this.#options;
    if (network === undefined) return;
    await withDeadline((deadline) => Promise.allSettled([abortable(network.teardown(deadline), deadline)]), {
      ...{ clock, milliseconds },
      error: () =>
        this.#error("DeadlineExceeded", "stop pod", `the network was not torn down within ${milliseconds} ms`),
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

  /**
   * Resolves when the VM has ended, for whatever reason, and every container has its exit; or when the pod's own
   * sandbox container has ended, since a pod cannot go on without it.
   */
  wait(signal?: AbortSignal): Promise<Exit> {
    return abortable(this.#ended.promise, signal);
  }

  /** Changes the VM itself; absent fields stay as they are. */
  update(update: VmUpdate, signal?: AbortSignal): Promise<void> {
    const work = (vm: PodVm, until: AbortSignal) => this.#capacity.change(() => vm.update(update, until), until);
    return this.#withVm("update pod", work, signal);
  }

  /** Statistics of the whole VM, as the host measures them. */
  statistics(signal?: AbortSignal): Promise<VmStatistics> {
    return this.#withVm("measure pod", (vm, until) => vm.statistics(until), signal);
  }

  /** Resolves when the guest answers. A guest that hangs does not answer. */
  ping(signal?: AbortSignal): Promise<void> {
    return this.#withVm("ping guest of pod", (_, until) => this.#options.pingGuest(until), signal);
  }

  /** Resolves when the host answers. Returns at once where an answer would prove nothing. */
  async pingHost(signal?: AbortSignal): Promise<void> {
    const { pingHost } = this.#options;
    if (pingHost !== undefined) await this.#withVm("ping host of pod", (_, until) => pingHost(until), signal);
  }

  /** Runs a program of the VM itself up to its end, or until the signal aborts. */
  executeInVm(program: PodProgramRequest, signal?: AbortSignal): Promise<Exit> {
    return this.#withVm("execute in VM of pod", (_, until) => this.#diagnosis.execute(program, until), signal);
  }

  /** Stacks of the guest's own programs; undefined where the guest cannot dump them. */
  dumpStacks(signal?: AbortSignal): Promise<string | undefined> {
    return this.#withVm("dump stacks of pod", (vm, until) => vm.dumpStacks(until), signal);
  }

  /** Shows a folder of the host in the VM until the pod ends. Idempotent. */
  share(share: PodShare, signal?: AbortSignal): Promise<void> {
    const { hostPath } = share;
    return this.#withVm(`share ${hostPath} with pod`, (_, until) => this.#diagnosis.share(share, until), signal);
  }

  /** The host's properties of the VM, as the host writes them. */
  vmProperties(signal?: AbortSignal): Promise<object> {
    return this.#withVm("ask for the VM of pod", (vm, until) => vm.properties(until), signal);
  }

  /** Everything at this moment, without asking anybody. */
  describe() {
    const { vm, diagnosis } = this.#options;
    return {
      vm: vm.describe(),
      containers: [...this.#ownContainers(), ...this.#containers.others].map((container) => container.describe()),
      ...diagnosis.describeDevices(),
      ownShares: this.#diagnosis.shares,
      programs: this.#diagnosis.programs,
    };
  }

  #ownContainers(): readonly Container[] {
    const { own } = this.#containers;
    return own === undefined ? [] : [own];
  }

  async #withVm<T>(
    operation: string,
    work: (vm: PodVm, until: AbortSignal) => Promise<T>,
    signal: AbortSignal | undefined,
  ): Promise<T> {
    if (this.state !== "running") {
      throw this.#error("FailedPrecondition", operation, `the pod is ${this.state}, expected running`);
    }
    const until = this.#until(signal);
    try {
      return await abortable(work(this.#options.vm, until), until);
    } catch (error) {
      throw wrapError(error, operation, this.id);
    }
  }

  /** Aborts with the signal, and when the pod is stopped. */
  #until(signal: AbortSignal | undefined): AbortSignal {
    return signal === undefined ? this.#stopping.signal : AbortSignal.any([signal, this.#stopping.signal]);
  }

  /** AlreadyExists for an id in use. After a failed creation the id is free again. */
  async createContainer(request: Request, signal?: AbortSignal): Promise<Container> {
    const { id } = request;
    this.#requireFree(id);
    const until = this.#until(signal);
    await this.#options.network?.prepare(request, until);
    const create = async (): Promise<Container> => {
      this.#requireFree(id);
      return await this.#containers.create(request, signal);
    };
    return await this.#capacity.admit(request, create, until);
  }

  #requireFree(id: string): void {
    if (!this.isReady || this.#stopping.signal.aborted) {
      const why = this.#whyNotReady();
      throw this.#error("FailedPrecondition", `create container ${id} in pod`, why);
    }
    this.#containers.requireFree(id);
  }

  #whyNotReady(): string {
    if (this.#life.state.kind === "Unready") return "its sandbox container has ended";
    const isLost = this.state === "running" && this.#options.vm.isLost;
    return isLost ? "its guest is gone, and its VM is ending" : `the pod is ${this.state}, expected running`;
  }

  container(id: string): Container | undefined {
    return this.#containers.get(id);
  }

  containers(): readonly Container[] {
    return this.#containers.created;
  }

  /**
   * Changes a container's limits; `resources` are OCI resources as parsed JSON, unchecked. The VM grows first if it has
   * to; if it cannot, the update is refused and the container keeps its limits.
   */
  async updateContainer(id: string, resources: unknown, signal?: AbortSignal): Promise<void> {
    await this.#capacity.update(this.#containers.require(id, "update container"), resources, this.#until(signal));
  }

  /** Releases all that the container holds and forgets it. After a failure it is kept, and the call can be repeated. */
  async deleteContainer(id: string, signal?: AbortSignal): Promise<Exit> {
    const container = this.#containers.require(id, "delete container");
    const deleting = this.#deleteBesideEnd(container).then((exit) => {
      this.#capacity.release(container);
      this.#containers.forget(container);
      return exit;
    });
    return await abortable(deleting, signal);
  }

  /**
   * While the VM ends, releases fail in many ways, on the host and in the guest, but everything ends with the VM. It
   * counts as released only after that, since the host's disks are in use until the VM has ended.
   */
  async #deleteBesideEnd(container: Container): Promise<Exit> {
    try {
      return await container.delete();
    } catch (error) {
      if (!this.#stopping.signal.aborted) throw error;
      // Waits for the stop that is under way.
      await this.#stops.run(async () => {});
      if (this.#life.state.kind !== "Stopped") throw error;
      return await container.delete();
    }
  }

  #vmExited(exit: VmExit): void {
    this.#life.happen("vmExited", { kind: "Stopped", exit });
    for (const container of [...this.#containers.others, ...this.#ownContainers()]) container.vmExited(exit);
    this.#diagnosis.vmExited(exit);
    this.#ended.resolve(exit);
  }

  #error(code: ErrorCode, operation: string, message: string, cause?: unknown): ControllerError {
    return new ControllerError(code, message, { operation, id: this.id, cause });
  }
}
