import type { Clock } from "@uvm-shim/lifecycle";
import { describeError, ShimError } from "../../errors.ts";
import type { Container, Exit, ListedProcess, Log, Process, Sandbox, StdioPaths } from "../../platform.ts";

/** As hcsshim's shim reports a sandbox that has no process in its guest. */
const pidOfSandbox = 1;
const noStdio: StdioPaths = { stdin: "", stdout: "", stderr: "", terminal: false };

/** What the task of a Windows pod is made from, which has no container. */
export interface SandboxTaskOptions {
  readonly sandbox: Pick<Sandbox, "id" | "wait">;
  readonly bundle: string;
  /** Ends the sandbox's VM and all that goes with it. */
  readonly stop: () => Promise<void>;
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * The task of a pod of Windows containers, whose clients create one as they do for a pause container. The guest has no
 * such container: the task stands for the VM, which has been started by the time there is a task.
 */
export class SandboxTask implements Container {
  readonly id: string;
  readonly bundle: string;
  readonly init: SandboxProcess;
  readonly isPaused = false;

  constructor(options: SandboxTaskOptions) {
    this.id = options.sandbox.id;
    this.bundle = options.bundle;
    this.init = new SandboxProcess(options);
  }

  process(execId: string): Process | undefined {
    return execId === "" ? this.init : undefined;
  }

  processes(): readonly Process[] {
    return [this.init];
  }

  async createProcess({ execId }: { readonly execId: string }): Promise<Process> {
    throw this.#unimplemented(`exec ${execId}`);
  }

  async deleteProcess(execId: string): Promise<Exit> {
    throw new ShimError("NotFound", `exec ${execId} of task ${this.id} does not exist`);
  }

  async statistics(): Promise<never> {
    throw this.#unimplemented("container statistics");
  }

  /** Always the one: containerd deletes a task without processes when it starts. */
  async pids(): Promise<readonly ListedProcess[]> {
    return [{ pid: pidOfSandbox, execId: this.id, details: {} }];
  }

  async pause(): Promise<void> {
    throw this.#unimplemented("pause");
  }

  async resume(): Promise<void> {
    throw this.#unimplemented("resume");
  }

  async killAll(): Promise<void> {
    await this.init.kill();
  }

  /** The sandbox itself is stopped by its owner. */
  async delete(): Promise<Exit> {
    return this.init.exit ?? this.init.abandon();
  }

  #unimplemented(what: string): ShimError {
    return new ShimError("Unimplemented", `${what} in task ${this.id}: it is a sandbox without a container of its own`);
  }
}

/** The process of such a task: it runs from its start until it is killed or the VM ends, and its end is the VM's. */
class SandboxProcess implements Process {
  readonly execId = "";
  readonly stdio = noStdio;
  readonly #options: SandboxTaskOptions;
  readonly #exited = Promise.withResolvers<Exit>();
  #isStarted = false;
  #end: Exit | undefined;
  #exit: Exit | undefined;

  constructor(options: SandboxTaskOptions) {
    this.#options = options;
    const lost = (): void => void this.#endWith(1);
    options.sandbox.wait().then(lost, lost);
  }

  get pid(): number {
    return this.#isStarted ? pidOfSandbox : 0;
  }

  /** "running" until the VM has ended, so that a client that sees the exit finds nothing of it left. */
  get state(): Process["state"] {
    if (this.#exit !== undefined) return "stopped";
    return this.#isStarted ? "running" : "created";
  }

  get exit(): Exit | undefined {
    return this.#exit;
  }

  get hasEnded(): boolean {
    return this.#end !== undefined;
  }

  async start(): Promise<number> {
    if (this.#isStarted || this.hasEnded) {
      const state = this.hasEnded ? "ended" : "been started";
      throw new ShimError("FailedPrecondition", `start task ${this.#options.sandbox.id}: it has already ${state}`);
    }
    this.#isStarted = true;
    return pidOfSandbox;
  }

  /** Any signal ends it: there is no program that could handle one. */
  async kill(): Promise<void> {
    if (this.hasEnded) {
      throw new ShimError("NotFound", `kill task ${this.#options.sandbox.id}: process already finished`);
    }
    void this.#endWith(this.#isStarted ? 0 : 1);
  }

  async resize(): Promise<void> {
    const message = `resize task ${this.#options.sandbox.id}: the process has no terminal`;
    throw new ShimError("FailedPrecondition", message);
  }

  async closeStdin(): Promise<void> {}

  wait(): Promise<Exit> {
    return this.#exited.promise;
  }

  /** Ends it without ending the VM. */
  abandon(): Exit {
    this.#end ??= { status: 1, exitedAt: this.#options.clock.now() };
    return this.#settle(this.#end);
  }

  async #endWith(status: number): Promise<void> {
    if (this.#end !== undefined) return;
    const { sandbox, stop, clock, log } = this.#options;
    const end: Exit = { status, exitedAt: clock.now() };
    this.#end = end;
    try {
      await stop();
    } catch (error) {
      // The deletion of the task tries again, and reports it.
      log.log("error", "cannot stop the sandbox", { sandbox: sandbox.id, error: describeError(error) });
    }
    this.#settle(end);
  }

  #settle(exit: Exit): Exit {
    this.#exit ??= exit;
    this.#exited.resolve(this.#exit);
    return this.#exit;
  }
}
