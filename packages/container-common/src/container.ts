import type { Exit } from "@uvm-shim/lifecycle";
import type { ContainerCore } from "./core.ts";
import type { ContainerProcess } from "./types.ts";

/** What every controller of a container offers, whatever its guest and its states. */
export abstract class CommonContainer<StateKind extends string, Description> {
  readonly id: string;
  readonly bundle: string;
  readonly #core: ContainerCore<Description>;

  constructor(core: ContainerCore<Description>, bundle: string) {
    this.id = core.id;
    this.bundle = bundle;
    this.#core = core;
  }

  abstract get state(): StateKind;

  /** For diagnostics. */
  describe(): { readonly id: string; readonly state: StateKind; readonly held: readonly string[] } {
    return { id: this.id, state: this.state, held: this.#core.held };
  }

  /** The init process. FailedPrecondition before it has been created. */
  get init(): ContainerProcess<Description> {
    return this.#core.processes.init;
  }

  /** The init process for the empty id, else an exec. */
  process(execId: string): ContainerProcess<Description> | undefined {
    return this.#core.processes.get(execId);
  }

  processes(): readonly ContainerProcess<Description>[] {
    return this.#core.processes.all();
  }

  /** Removes an exec that has exited or was never started, and returns its exit. */
  deleteProcess(execId: string): Promise<Exit> {
    return this.#core.processes.delete(execId);
  }

  /** Called when the VM has exited: gives every process an exit and forgets what the VM held. */
  vmExited(exit: { readonly reason: string }): void {
    this.#core.vmExited(exit);
  }
}
