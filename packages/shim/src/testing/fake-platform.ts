/** A platform without a machine: tests decide when processes start, exit and fail. */
import type { HostDescription, SandboxDescription, VmShare } from "../description.ts";
import type {
  Container,
  ContainerRequest,
  ContainerStatistics,
  Exit,
  Platform,
  Process,
  ResourceUpdate,
  Sandbox,
  SandboxRequest,
  StdioPaths,
  VmProgram,
  VmStatistics,
} from "../platform.ts";

/** An error of a platform. */
export class FakeError extends Error {
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

/** A process that starts and ends as it is told. */
export class FakeProcess implements Process {
  readonly execId: string;
  readonly stdio: StdioPaths;
  state: Process["state"] = "created";
  pid = 0;
  exit: Exit | undefined;
  /** Has ended, while output is still on its way to the client. */
  isDraining = false;
  /** Accepts signals without effect. */
  isImmortal = false;
  readonly signals: number[] = [];
  readonly sizes: (readonly [number, number])[] = [];
  stdinClosed = false;
  /** Called by `start`; a rejection fails it. */
  onStart: () => Promise<void> = async () => {};
  readonly #exited = Promise.withResolvers<Exit>();

  constructor(execId: string, stdio: StdioPaths) {
    this.execId = execId;
    this.stdio = stdio;
    this.#exited.promise.catch(() => {});
  }

  get hasEnded(): boolean {
    return this.isDraining || this.exit !== undefined;
  }

  async start(): Promise<number> {
    if (this.state !== "created") throw new FakeError("FailedPrecondition", `start: it is ${this.state}`);
    await this.onStart();
    this.pid = 4000 + this.execId.length;
    if (this.exit === undefined) this.state = "running";
    return this.pid;
  }

  async kill(signalNumber: number): Promise<void> {
    if (this.state === "stopped") throw new FakeError("NotFound", "no such process");
    this.signals.push(signalNumber);
    if (this.isImmortal) return;
    if (signalNumber === 9 || signalNumber === 15) this.finish(128 + signalNumber);
  }

  async resize(width: number, height: number): Promise<void> {
    this.sizes.push([width, height]);
  }

  async closeStdin(): Promise<void> {
    this.stdinClosed = true;
  }

  wait(signal?: AbortSignal): Promise<Exit> {
    return new Promise((resolve, reject) => {
      signal?.addEventListener("abort", () => reject(signal.reason), { once: true });
      this.#exited.promise.then(resolve, reject);
    });
  }

  finish(status: number, exitedAt = new Date("2026-01-02T03:04:05.678Z")): void {
    if (this.exit !== undefined) return;
    this.exit = { status, exitedAt };
    this.state = "stopped";
    this.#exited.resolve(this.exit);
  }

  /** Rejects every `wait`. */
  lose(error: Error): void {
    this.#exited.reject(error);
  }
}

/** A container of fake processes. */
export class FakeContainer implements Container {
  readonly id: string;
  readonly bundle: string;
  readonly request: ContainerRequest;
  readonly init: FakeProcess;
  readonly execs = new Map<string, FakeProcess>();
  readonly specs: unknown[] = [];
  isPaused = false;
  canEndWithVm = false;
  killedAll: number[] = [];
  readonly updates: unknown[] = [];
  onCreateProcess: (signal?: AbortSignal) => Promise<void> = async () => {};
  /** Delays calls that a real container would pass to its guest. */
  onGuestCall: () => Promise<void> = async () => {};
  measured: ContainerStatistics = { version: 1, metrics: { pids: { current: 1 } } };

  constructor(request: ContainerRequest) {
    this.id = request.id;
    this.bundle = request.bundle;
    this.request = request;
    this.init = new FakeProcess("", request.stdio);
  }

  process(execId: string): FakeProcess | undefined {
    return execId === "" ? this.init : this.execs.get(execId);
  }

  processes(): FakeProcess[] {
    return [this.init, ...this.execs.values()];
  }

  async createProcess(
    request: { execId: string; spec: unknown; stdio: StdioPaths },
    signal?: AbortSignal,
  ): Promise<FakeProcess> {
    await this.onCreateProcess(signal);
    if (this.init.state !== "running") throw new FakeError("FailedPrecondition", "init is not running");
    const exec = new FakeProcess(request.execId, request.stdio);
    this.specs.push(request.spec);
    this.execs.set(request.execId, exec);
    return exec;
  }

  async deleteProcess(execId: string): Promise<Exit> {
    const exec = this.execs.get(execId);
    if (exec === undefined) throw new FakeError("NotFound", `exec ${execId} does not exist`);
    this.execs.delete(execId);
    return exec.exit ?? { status: 255, exitedAt: new Date(0) };
  }

  async pids(): Promise<{ pid: number; execId?: string }[]> {
    await this.onGuestCall();
    const running = this.processes().filter((candidate) => candidate.state === "running");
    return running.map(({ pid, execId }) => (execId === "" ? { pid } : { pid, execId }));
  }

  async pause(): Promise<void> {
    if (this.init.state !== "running") throw new FakeError("FailedPrecondition", "init is not running");
    this.isPaused = true;
  }

  async resume(): Promise<void> {
    if (!this.isPaused) throw new FakeError("FailedPrecondition", "it is not paused");
    this.isPaused = false;
  }

  async update(resources: unknown): Promise<void> {
    this.updates.push(resources);
  }

  async statistics(): Promise<ContainerStatistics> {
    await this.onGuestCall();
    if (this.init.state !== "running") throw new FakeError("FailedPrecondition", "init is not running");
    return this.measured;
  }

  async killAll(signalNumber: number): Promise<void> {
    await this.onGuestCall();
    this.killedAll.push(signalNumber);
    if (this.init.isImmortal) return;
    for (const each of this.processes()) each.finish(128 + signalNumber);
  }
}

/** A sandbox of fake containers. */
export class FakeSandbox implements Sandbox {
  readonly id: string;
  readonly request: SandboxRequest;
  readonly createdAt = new Date("2026-01-01T00:00:00Z");
  state: Sandbox["state"] = "created";
  /** Pid of the container that holds the pod's namespaces, once it runs. */
  pidInGuest: number | undefined;
  isLost = false;
  isGuestGone = false;
  stops = 0;
  readonly updates: ResourceUpdate[] = [];
  measured: VmStatistics = {
    processor: { totalRuntimeNs: 5_000_000_000 },
    memory: {
      workingSetBytes: 300 * 2 ** 20,
      virtualNodeCount: 1,
      vmMemory: {
        availableMemory: 40,
        availableMemoryBuffer: 0,
        reservedMemory: 0,
        assignedMemory: 131_072,
        slpActive: false,
        balancingEnabled: false,
        dmOperationInProgress: false,
      },
    },
  };
  readonly held = new Map<string, FakeContainer>();
  /** Called by the operations; a rejection fails them. */
  onStart: (signal?: AbortSignal) => Promise<void> = async () => {};
  onStop: () => Promise<void> = async () => {};
  onCreateContainer: (container: FakeContainer, signal?: AbortSignal) => Promise<void> = async () => {};
  onDeleteContainer: () => Promise<void> = async () => {};
  onPing: () => Promise<void> = async () => {};
  onPingHost: () => Promise<void> = async () => {};
  /** What runs in the VM itself; by default a program that ends at once. */
  onExecute: (program: VmProgram, signal?: AbortSignal) => Promise<Exit> = async () => ({
    status: 0,
    exitedAt: new Date(0),
  });
  onDumpStacks: (signal?: AbortSignal) => Promise<string | undefined> = async () => "guest stacks";
  onShare: (share: VmShare) => Promise<void> = async () => {};
  onVmProperties: () => Promise<object> = async () => ({ State: "Running" });
  readonly shared: VmShare[] = [];
  deletions = 0;
  readonly #ended = Promise.withResolvers<Exit>();

  constructor(request: SandboxRequest) {
    this.id = request.id;
    this.request = request;
  }

  get pid(): number | undefined {
    return this.state === "created" ? undefined : this.pidInGuest;
  }

  get isReady(): boolean {
    return this.state === "running" && !this.isLost && !this.isGuestGone;
  }

  async start(signal?: AbortSignal): Promise<{ startedAt: Date }> {
    await this.onStart(signal);
    this.state = "running";
    return { startedAt: this.createdAt };
  }

  async stop(): Promise<void> {
    this.stops++;
    await this.onStop();
    this.end(0);
  }

  /** Ends the VM. */
  end(status: number): void {
    this.state = "stopped";
    for (const container of this.held.values()) {
      for (const each of container.processes()) each.finish(255);
    }
    this.#ended.resolve({ status, exitedAt: new Date("2026-01-03T00:00:00Z") });
  }

  /** Ends the container that holds the pod's namespaces, but not the VM. */
  lose(status: number): void {
    this.isLost = true;
    this.#ended.resolve({ status, exitedAt: new Date("2026-01-02T00:00:00Z") });
  }

  wait(): Promise<Exit> {
    return this.#ended.promise;
  }

  async update(update: ResourceUpdate): Promise<void> {
    this.updates.push(update);
  }

  async updateContainer(id: string, resources: unknown): Promise<void> {
    const container = this.held.get(id);
    if (container === undefined) throw new FakeError("NotFound", `container ${id} does not exist`);
    await container.update(resources);
  }

  async statistics(): Promise<VmStatistics> {
    return this.measured;
  }

  ping(): Promise<void> {
    return this.onPing();
  }

  pingHost(): Promise<void> {
    return this.onPingHost();
  }

  async createContainer(request: ContainerRequest, signal?: AbortSignal): Promise<FakeContainer> {
    const container = new FakeContainer(request);
    await this.onCreateContainer(container, signal);
    this.held.set(request.id, container);
    return container;
  }

  container(id: string): FakeContainer | undefined {
    return this.held.get(id);
  }

  containers(): FakeContainer[] {
    return [...this.held.values()];
  }

  executeInVm(program: VmProgram, signal?: AbortSignal): Promise<Exit> {
    return this.onExecute(program, signal);
  }

  dumpStacks(signal?: AbortSignal): Promise<string | undefined> {
    return this.onDumpStacks(signal);
  }

  async share(share: VmShare): Promise<void> {
    await this.onShare(share);
    this.shared.push(share);
  }

  vmProperties(): Promise<object> {
    return this.onVmProperties();
  }

  describe(): SandboxDescription {
    return {
      vm: {
        id: `${this.id}@vm`,
        state: this.state === "running" ? "Running" : "Created",
        isLost: false,
        held: ["bridge"],
      },
      containers: this.containers().map(({ id }) => ({ id, state: "Running", held: ["root", "init process"] })),
      ...{ disks: [], shares: [], networks: [], devices: [], ownShares: this.shared, programs: [] },
    };
  }

  async deleteContainer(id: string): Promise<Exit> {
    const container = this.held.get(id);
    if (container === undefined) throw new FakeError("NotFound", `container ${id} does not exist`);
    this.deletions++;
    await this.onDeleteContainer();
    this.held.delete(id);
    return container.init.exit ?? { status: 255, exitedAt: new Date(0) };
  }
}

/** A platform in memory. */
export class FakePlatform implements Platform {
  os: Platform["os"] = "linux";
  readonly sandboxes: FakeSandbox[] = [];
  readonly cleaned: unknown[] = [];
  onCleanUp: () => Promise<void> = async () => {};
  closed = false;
  onCreateSandbox: (sandbox: FakeSandbox, signal?: AbortSignal) => Promise<void> = async () => {};

  async createSandbox(request: SandboxRequest, signal?: AbortSignal): Promise<FakeSandbox> {
    const sandbox = new FakeSandbox(request);
    if (request.makesContainer) sandbox.pidInGuest = 42;
    await this.onCreateSandbox(sandbox, signal);
    this.sandboxes.push(sandbox);
    return sandbox;
  }

  async cleanUp(request: { namespace: string; id: string; bundle: string }): Promise<void> {
    await this.onCleanUp();
    this.cleaned.push(request);
  }

  describeHost(): HostDescription {
    return { kind: "emulated", address: "/run/host.sock", connected: true };
  }

  async close(): Promise<void> {
    this.closed = true;
  }
}
