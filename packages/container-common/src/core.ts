import type { StdioPaths } from "@uvm-shim/controller-process";
import {
  Acquisitions,
  abortable,
  type Exit,
  OperationQueue,
  observe,
  type Refuse,
  refusing,
  type Step,
  unlessGone,
  wrapError,
} from "@uvm-shim/lifecycle";
import { checkId } from "./checks.ts";
import { ContainerProcesses, type ExecRequest, type ExitStatuses } from "./processes.ts";
import { vmBound } from "./steps.ts";
import type { ContainerProcess, ProcessFactory } from "./types.ts";

/** What a `ContainerCore` is made from. */
export interface ContainerCoreOptions {
  readonly id: string;
  readonly statuses: ExitStatuses;
  readonly clock: { now(): Date };
}

/** What an exec is created from. */
export interface ExecParts<Guest, Description> {
  /** The container in the guest; throws unless it takes execs. */
  readonly running: (refuse: Refuse) => Guest;
  /** Checks and describes the process. */
  readonly describe: (refuse: Refuse) => Description;
  readonly make: ProcessFactory<Guest, Description>;
}

/**
 * What controllers of containers have in common, whatever the guest: processes, resources, one operation at a time, and
 * the end that interrupts them. The states are the controller's own.
 */
export class ContainerCore<Description> {
  readonly id: string;
  readonly processes: ContainerProcesses<Description>;
  readonly #statuses: ExitStatuses;
  readonly #clock: { now(): Date };
  readonly #operations = new OperationQueue();
  readonly #held = new Acquisitions();
  /** Aborts what is under way when the container must end. */
  readonly #ending = new AbortController();
  readonly #vmGone = new AbortController();
  /** Resolves when the start of the init process has succeeded or failed. */
  #starting: Promise<unknown> = Promise.resolve();

  constructor({ id, statuses, clock }: ContainerCoreOptions) {
    this.id = id;
    this.#statuses = statuses;
    this.#clock = clock;
    this.processes = new ContainerProcesses(id, statuses);
  }

  /** Runs after all earlier operations. `name` is what observers are told. */
  run<T>(name: string, operation: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    const what = { kind: "phase", name, attributes: { id: this.id } } as const;
    return observe(what, () => this.#operations.run(operation, signal));
  }

  /** Aborts with the signal, and when the container must end. */
  until(signal: AbortSignal | undefined): AbortSignal {
    return signal === undefined ? this.#ending.signal : AbortSignal.any([signal, this.#ending.signal]);
  }

  /** Aborts when the VM has exited. */
  get vmGone(): AbortSignal {
    return this.#vmGone.signal;
  }

  /** Names of what it holds, in the order of acquisition. */
  get held(): readonly string[] {
    return this.#held.names;
  }

  refusing(operation: string): Refuse {
    return refusing(operation, this.id);
  }

  checkId(refuse: Refuse): void {
    checkId(this.id, "the id", refuse);
  }

  /** The same step, which counts as released once the VM is gone. */
  inVm = (step: Step): Step => vmBound(step, this.#vmGone.signal);

  /** Acquires the steps in order. After a failure nothing is left. */
  acquire(steps: readonly Step[], signal: AbortSignal): Promise<void> {
    return this.#held.acquireAll(steps, signal);
  }

  /**
   * Acquires one more while others are held. `check` throws once the container takes no more. After a failure what this
   * step could not release is kept, as everything else is.
   */
  async acquireMore(step: Step, check: () => void, signal: AbortSignal): Promise<void> {
    this.#held.add(step);
    try {
      await step.acquire(signal);
      check();
    } catch (error) {
      await unlessGone(() => step.release());
      this.#held.forget(step);
      throw error;
    }
  }

  /** Releases all that is held; what cannot be released is kept. */
  release(): Promise<void> {
    return this.#held.releaseAll();
  }

  /** Creates the init process, with the client's stdio. */
  initStep(
    request: { readonly stdio: StdioPaths; readonly process?: Description },
    make: () => ContainerProcess<Description>,
    expectedPid: (signal: AbortSignal) => Promise<number>,
  ): Step {
    return {
      name: "init process",
      acquire: async (signal = this.#ending.signal) => {
        const init = make();
        this.processes.setInit(init);
        await init.create(request, signal);
        init.expectPid(await expectedPid(signal));
      },
      release: () => this.processes.abandonInit(),
    };
  }

  /** Creates an exec with what a client asks for. */
  async createExec<Guest>(
    { execId, stdio }: Omit<ExecRequest<unknown>, "process">,
    { running, describe, make }: ExecParts<Guest, Description>,
    signal: AbortSignal | undefined,
  ): Promise<ContainerProcess<Description>> {
    const refuse = this.refusing(`create process ${execId} in container`);
    const guest = running(refuse);
    this.processes.checkNew(execId);
    const process = describe(refuse);
    const exec = make({ containerId: this.id, execId, guest });
    const stillTaken = () => void running(refuse);
    return await this.processes.create(exec, { execId, stdio, process }, stillTaken, this.until(signal));
  }

  /** Runs the start of the init process, which ends of the container wait for. */
  starting<T>(start: (until: AbortSignal) => Promise<T>, signal: AbortSignal | undefined): Promise<T> {
    const starting = start(this.until(signal));
    this.#starting = starting.catch(() => {});
    return starting;
  }

  /** Resolves when no start of the init process is under way. */
  async started(signal?: AbortSignal): Promise<void> {
    await abortable(this.#starting, signal);
  }

  /** Interrupts operations that are under way, and those to come. */
  end(why: string): void {
    this.#ending.abort(this.refusing("use container")("Cancelled", why));
  }

  /** Asks the guest for something. */
  async ask<T>(operation: string, ask: (refuse: Refuse) => Promise<T>, signal: AbortSignal | undefined): Promise<T> {
    try {
      return await abortable(ask(this.refusing(operation)), signal);
    } catch (error) {
      throw wrapError(error, operation, this.id);
    }
  }

  /** Ends an init process that has not been started. */
  async endUnstarted(): Promise<void> {
    this.end("the container is being deleted");
    await this.#starting;
    await this.processes.init.abandon(this.#statuses.neverRan);
  }

  /** The exit of the init process, or that of one that never was. */
  get exit(): Exit {
    return this.processes.knownInit?.exit ?? { status: this.#statuses.unknown, exitedAt: this.#clock.now() };
  }

  /** The VM has exited: every process gets an exit, and what the VM held counts as released. */
  vmExited(exit: { readonly reason: string }): void {
    const error = this.refusing("use container")("Unavailable", `the VM has exited: ${exit.reason}`);
    this.#vmGone.abort(error);
    this.#ending.abort(error);
    this.processes.vmExited(exit);
  }
}
