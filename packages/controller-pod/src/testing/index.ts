import type { VmExit, VmStatistics, VmUpdate, VmView } from "@uvm-shim/controller-vm";
import type { Clock, Exit } from "@uvm-shim/lifecycle";
import { ScriptedCalls, scriptedError } from "@uvm-shim/lifecycle/testing";
import { PodController } from "../controller.ts";
import type {
  ContainerView,
  EarlyWork,
  PodContainer,
  PodNetwork,
  PodProcess,
  PodSize,
  PodSizeQuestion,
  PodSizeVerdict,
  PodVm,
} from "../types.ts";
import { FakeProgram, shareSteps } from "./diagnosis.ts";

/** A clock that the test advances. */
export class ManualClock implements Clock {
  #delays: { readonly milliseconds: number; readonly elapse: () => void }[] = [];

  now(): Date {
    return new Date(1_000);
  }

  delay(milliseconds: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const delay = { milliseconds, elapse: resolve };
      this.#delays.push(delay);
      signal?.addEventListener("abort", () => {
        this.#delays = this.#delays.filter((other) => other !== delay);
        reject(signal.reason);
      });
    });
  }

  get pending(): readonly number[] {
    return this.#delays.map(({ milliseconds }) => milliseconds);
  }

  elapse(milliseconds: number): void {
    for (const delay of this.#delays) if (delay.milliseconds <= milliseconds) delay.elapse();
  }
}

/** The statistics of every fake VM. */
export const measured: VmStatistics = {
  processor: { totalRuntimeNs: 7 },
  memory: {
    workingSetBytes: 4096,
    virtualNodeCount: 1,
    vmMemory: {
      availableMemory: 1,
      availableMemoryBuffer: 2,
      reservedMemory: 3,
      assignedMemory: 4,
      slpActive: false,
      balancingEnabled: false,
      dmOperationInProgress: false,
    },
  },
};

/** A VM that starts and ends as it is told. */
export class FakeVm implements PodVm {
  startedAt: Date | undefined;
  isLost = false;
  readonly #script: ScriptedCalls;
  readonly #exited = Promise.withResolvers<VmExit>();

  constructor(script: ScriptedCalls) {
    this.#script = script;
  }

  start(signal?: AbortSignal): Promise<void> {
    return this.#script.run("start VM", "", signal, () => {
      this.startedAt = new Date(2_000);
    });
  }

  wait(): Promise<VmExit> {
    return this.#exited.promise;
  }

  terminate(signal?: AbortSignal): Promise<void> {
    return this.#script.run("terminate VM", "", signal, () => this.exit("terminated"));
  }

  readonly updates: VmUpdate[] = [];

  memoryInMb = 100;

  update(update: VmUpdate, signal?: AbortSignal): Promise<void> {
    return this.#script.run("update VM", "", signal, () => {
      this.updates.push(update);
      const { memory } = (update.resources ?? {}) as { readonly memory?: { readonly limit: number } };
      if (memory !== undefined) this.memoryInMb = memory.limit / 2 ** 20;
    });
  }

  statistics(signal?: AbortSignal): Promise<VmStatistics> {
    return this.#script.run("measure VM", "", signal, () => measured);
  }

  dumpStacks(signal?: AbortSignal): Promise<string | undefined> {
    return this.#script.run("dump stacks", "", signal, () => "main: waits");
  }

  properties(signal?: AbortSignal): Promise<object> {
    return this.#script.run("ask for the VM", "", signal, () => ({ State: "Running" }));
  }

  describe(): VmView {
    return { id: "vm", state: this.startedAt === undefined ? "Created" : "Running", isLost: this.isLost, held: [] };
  }

  exit(reason: string): void {
    this.#exited.resolve({ status: 0, exitedAt: new Date(3_000), reason });
  }
}

/** A request for a container. */
export interface FakeRequest {
  readonly id: string;
  /** In MB; a container without a limit uses nothing. */
  readonly memory?: number;
}

/**
 * VMs are as large as the sum of their containers' limits; more than 1000 MB is refused, more than 900 MB warned of.
 */
export class FakeSize implements PodSize<FakeRequest, number> {
  readonly questions: PodSizeQuestion<number>[] = [];

  limitsOf({ memory }: FakeRequest): number | undefined {
    return memory;
  }

  updated(limits: number, resources: unknown): number {
    return (resources as { readonly memory?: number }).memory ?? limits;
  }

  judge(question: PodSizeQuestion<number>): PodSizeVerdict {
    this.questions.push(question);
    const memoryInMb = question.containers.reduce((sum, each) => sum + each, 0);
    if (memoryInMb > 1000) return { kind: "refused", reason: `${memoryInMb} MB are too much` };
    if (memoryInMb > 900) return { kind: "enough", warning: `${memoryInMb} MB are much` };
    if (memoryInMb <= question.memoryInMb) return { kind: "enough" };
    const warning = question.container === 777 ? { warning: "777 MB are no promise" } : {};
    return { kind: "grow", memoryInMb, isDemanded: question.container % 100 !== 77, ...warning };
  }
}

/** The init process of a container. */
export class FakeInit implements PodProcess {
  readonly #id: string;
  readonly #script: ScriptedCalls;
  readonly #exited = Promise.withResolvers<Exit>();

  constructor(id: string, script: ScriptedCalls) {
    this.#id = id;
    this.#script = script;
  }

  start(signal?: AbortSignal): Promise<number> {
    return this.#script.run("start", this.#id, signal, () => 41);
  }

  wait(): Promise<Exit> {
    return this.#exited.promise;
  }

  exit(status: number): void {
    this.#exited.resolve({ status, exitedAt: new Date(5_000) });
  }
}

/** A container that holds one thing from its creation to its deletion. */
export class FakeContainer implements PodContainer<FakeRequest> {
  readonly id: string;
  readonly exits: VmExit[] = [];
  isHeld = false;
  isTerminated = false;
  readonly #ending = new AbortController();
  readonly #script: ScriptedCalls;
  readonly #init: FakeInit;
  #isCreated = false;

  constructor(id: string, script: ScriptedCalls) {
    this.id = id;
    this.#init = new FakeInit(id, script);
    this.#script = script;
  }

  /** As with the real one, there is none before the creation has created it, nor after a failed creation. */
  get init(): FakeInit {
    if (!this.#isCreated) throw scriptedError("FailedPrecondition", `${this.id} has no init process`);
    return this.#init;
  }

  create(_request: FakeRequest, signal?: AbortSignal): Promise<void> {
    const until = signal === undefined ? this.#ending.signal : AbortSignal.any([signal, this.#ending.signal]);
    return this.#script
      .run("create", this.id, until, () => {
        this.isHeld = true;
      })
      .then(() => {
        this.#isCreated = true;
      });
  }

  readonly updates: unknown[] = [];

  update(resources: unknown, signal?: AbortSignal): Promise<void> {
    return this.#script.run("update", this.id, signal, () => void this.updates.push(resources));
  }

  terminate(signal?: AbortSignal): Promise<void> {
    this.#ending.abort(scriptedError("Cancelled", "terminated"));
    return this.#script.run("terminate", this.id, signal, () => {
      this.isTerminated = true;
      this.#init.exit(137);
    });
  }

  delete(signal?: AbortSignal): Promise<Exit> {
    return this.#script.run("delete", this.id, signal, () => {
      this.isHeld = false;
      return { status: 7, exitedAt: new Date(4_000) };
    });
  }

  describe(): ContainerView {
    return { id: this.id, state: this.#isCreated ? "Created" : "NotCreated", held: this.isHeld ? ["root"] : [] };
  }

  vmExited(exit: VmExit): void {
    this.exits.push(exit);
    this.#init.exit(exit.status);
    this.#ending.abort(scriptedError("Unavailable", exit.reason));
  }
}

/** A network that is up or not. */
export class FakeNetwork implements PodNetwork<FakeRequest> {
  isUp = false;
  readonly #script: ScriptedCalls;

  constructor(script: ScriptedCalls) {
    this.#script = script;
  }

  prepare(request: FakeRequest, signal?: AbortSignal): Promise<void> {
    return this.#script.run("prepare network", request.id, signal, () => {
      this.isUp = true;
    });
  }

  teardown(signal?: AbortSignal): Promise<void> {
    return this.#script.run("tear down network", "", signal, () => {
      this.isUp = false;
    });
  }
}

/** The network of a pod that names one itself. */
export class OpenedNetwork extends FakeNetwork {
  readonly open: (signal?: AbortSignal) => Promise<void>;

  constructor(script: ScriptedCalls) {
    super(script);
    this.open = (signal) =>
      script.run("open network", "", signal, () => {
        this.isUp = true;
      });
  }
}

/** Work that a container takes over or the pod undoes. */
export class FakeEarlyWork implements EarlyWork {
  isHeld = false;
  readonly #script: ScriptedCalls;

  constructor(script: ScriptedCalls) {
    this.#script = script;
  }

  begin(): void {
    this.isHeld = true;
    void this.#script.run("begin early work", "", undefined, () => {});
  }

  release(): Promise<void> {
    return this.#script.run("release early work", "", undefined, () => {
      this.isHeld = false;
    });
  }
}

/** A pod with fakes of VM, network and containers. */
export class PodBench {
  readonly clock = new ManualClock();
  readonly made: FakeContainer[] = [];
  readonly vm: FakeVm;
  readonly size = new FakeSize();
  readonly warnings: string[] = [];
  readonly programs: FakeProgram[] = [];
  /** Guest paths at which folders are shown. */
  readonly shown = new Set<string>();
  readonly pod: PodController<FakeRequest, FakeContainer, number>;

  /** `sandboxContainer`: the pod creates one itself. */
  constructor(
    script = new ScriptedCalls(),
    network?: FakeNetwork,
    sandboxContainer?: FakeRequest,
    earlyWork?: EarlyWork,
  ) {
    this.vm = new FakeVm(script);
    this.pod = new PodController<FakeRequest, FakeContainer, number>({
      id: "p1",
      vm: this.vm,
      clock: this.clock,
      size: this.size,
      warn: (sentence) => void this.warnings.push(sentence),
      diagnosis: {
        newProgram: (name) => {
          const program = new FakeProgram(name, script);
          this.programs.push(program);
          return program;
        },
        shareSteps: (share) => shareSteps(share, script, this.shown),
        describeDevices: () => ({ disks: [] }),
      },
      ...(earlyWork === undefined ? {} : { earlyWork }),
      ...(network === undefined ? {} : { network }),
      ...(sandboxContainer === undefined ? {} : { sandboxContainer }),
      pingGuest: (signal) => script.run("ping guest", "", signal, () => {}),
      pingHost: (signal) => script.run("ping host", "", signal, () => {}),
      newContainer: ({ id }: FakeRequest) => {
        const container = new FakeContainer(id, script);
        this.made.push(container);
        return container;
      },
    });
  }

  async started(): Promise<this> {
    await this.pod.start();
    return this;
  }
}
