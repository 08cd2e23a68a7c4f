/** One container of the guest: made by the host's create message, run by the execute message for its first process. */
import { mkdirSync, writeFileSync } from "node:fs";
import { arch } from "node:process";
// A pause between two looks, not a deadline: it wakes this process once, where a `Clock` does so in steps.
import { setTimeout as delay } from "node:timers/promises";
import { GuestFault, type NotificationType } from "@uvm-shim/gcs-bridge";
import type { LinuxProcessParameters, OciLinuxResources, OciProcess, OciSpec, OciUser } from "@uvm-shim/hcs-schema";
import type { GuestFacts } from "../boot/facts.ts";
import type { GroupMetrics } from "../cgroups/cgroup-metrics.ts";
import { type HeldStdio, holdStdio } from "../process/held-stdio.ts";
import type { OutputCopyPlace } from "../process/output-copy.ts";
import { GuestProcess, ProcessTable, sendSignal } from "../process/process.ts";
import type { StdioRelay } from "../process/stdio-relay.ts";
import { makeFoldersBelow, makeMountPoints, withoutEndSlashes } from "./below.ts";
import { type ContainerFolders, deleteFolders, discardFolders } from "./container-folders.ts";
import { checkProgram } from "./program.ts";
import type { OciRuntime, RuntimeProcess } from "./runtime.ts";
import { namingFields } from "./runtime-faults.ts";
import { type LiftedLimit, rewriteProcess, specificationText, splitLifted } from "./specification.ts";
import { withUserOf } from "./users.ts";

const sigterm = 15;
const sigkill = 9;
/** Between two looks at whether what was killed has gone, and how many there are. */
const killPauseMs = 10;
const mostKillRounds = 100;

/** The cgroup of a container, as far as the agent looks into it. */
export interface ContainerGroup {
  processes(): readonly number[];
  metrics(): GroupMetrics;
  /** Takes limits away. */
  lift(limits: readonly LiftedLimit[]): void;
  remove(): void;
}

export interface ContainerSurroundings {
  readonly runtime: OciRuntime;
  readonly facts: GuestFacts;
  readonly group: ContainerGroup;
  /** Called once its first process has ended and somebody has been told of it. */
  onExit(type: NotificationType): void;
  onError(what: string, error: unknown): void;
}

type State =
  | { readonly kind: "Creating" }
  | { readonly kind: "Created"; readonly made: RuntimeProcess; readonly stdio: HeldStdio }
  | { readonly kind: "Starting"; readonly abort: AbortController; readonly settled: Promise<unknown> }
  | {
      readonly kind: "Running";
      readonly init: GuestProcess;
      isFrozen: boolean;
    }
  | { readonly kind: "Stopped"; readonly init: GuestProcess | undefined; readonly emptied: Promise<void> };

export interface ContainerSpecification {
  readonly spec: OciSpec;
  /** File of the guest that the first process's output goes to besides. */
  readonly outputCopy: OutputCopyPlace | undefined;
  /** Of added processes that name none; undefined for what the process says. */
  readonly user: OciUser | undefined;
}

export class Container {
  readonly id: string;
  readonly processes = new ProcessTable();
  readonly #folders: ContainerFolders;
  readonly #specification: ContainerSpecification;
  readonly #surroundings: ContainerSurroundings;
  #state: State = { kind: "Creating" };
  /** Told of its end: what the last signal to its first process, of those that end a container, makes of it. */
  #exitType: NotificationType = "UnexpectedExit";

  constructor(
    id: string,
    folders: ContainerFolders,
    specification: ContainerSpecification,
    surroundings: ContainerSurroundings,
  ) {
    this.id = id;
    this.#folders = folders;
    this.#specification = specification;
    this.#surroundings = surroundings;
  }

  get state(): State["kind"] {
    return this.#state.kind;
  }

  get rootPath(): string {
    return this.#specification.spec.root?.path ?? "/";
  }

  /** Has the runtime make the container; its first process, whose pid this answers, waits for the start. */
  async create(): Promise<number> {
    const { spec } = this.#specification;
    const { bundle } = this.#folders;
    const { process = { cwd: "/" }, root = { path: "/" }, mounts = [] } = spec;
    try {
      checkProgram(root.path, process, arch, mounts);
      // Where a mount covers it, it is not the root's to have.
      const isOnMount = mounts.some(({ destination }) => isAtOrBelow(process.cwd, destination));
      if (!isOnMount) makeFoldersBelow(root.path, process.cwd);
      makeMountPoints(root.path, mounts);
      mkdirSync(bundle, { recursive: true, mode: 0o711 });
      writeFileSync(`${bundle}/config.json`, specificationText(spec), { mode: 0o600 });
      const hasTerminal = process.terminal === true;
      // A host that leaves meanwhile finds the container when it is back.
      const never = new AbortController().signal;
      const { made, stdio } = await namingFields(spec, () =>
        holdStdio(hasTerminal, (ends) => this.#surroundings.runtime.create(this.id, bundle, hasTerminal, ends, never)),
      );
      this.#state = { kind: "Created", made, stdio };
      void made.exit.then(() => this.#endedBeforeItsStart());
      return made.pid;
    } catch (error) {
      throw await this.discard(error);
    }
  }

  /**
   * Takes away a container that could not be made, with all that is reached in its folder; what is mounted for it is the
   * host's to take away. Answers with the cause, which says so where files of the host are among them.
   */
  async discard(cause: unknown): Promise<unknown> {
    const { onError } = this.#surroundings;
    if (this.#state.kind === "Created") this.#state.stdio.close();
    this.#state = { kind: "Stopped", init: undefined, emptied: this.#empty() };
    await this.#state.emptied;
    await this.#remove();
    return await discardFolders(this.#folders, cause, (error) =>
      onError(`container ${this.id} could not be made`, error),
    );
  }

  /** Starts the first process, or adds one to a container that runs. The caller closes the relay when it fails. */
  async execute(parameters: LinuxProcessParameters, relay: StdioRelay, signal: AbortSignal): Promise<GuestProcess> {
    // Whatever else the parameters say of terminals is for processes of the VM itself.
    if (parameters.OCIProcess === undefined) return await this.#startInit(relay, signal);
    return await this.#addProcess(parameters.OCIProcess, relay, signal);
  }

  async #startInit(relay: StdioRelay, signal: AbortSignal): Promise<GuestProcess> {
    if (this.#state.kind !== "Created") throw this.#wrongState("starting its first process", "Created");
    const { made, stdio } = this.#state;
    const { outputCopy } = this.#specification;
    const abort = new AbortController();
    if (outputCopy !== undefined) relay.copyOutputTo(outputCopy);
    relay.keepOutputs();
    stdio.handTo(relay);
    const started = this.#surroundings.runtime.start(this.id, AbortSignal.any([signal, abort.signal]));
    this.#state = { kind: "Starting", abort, settled: started.catch(() => {}) };
    try {
      await started;
      const init = new GuestProcess(made.pid, made.exit, relay);
      this.processes.add(init, { isKept: true });
      this.#state = { kind: "Running", init, isFrozen: false };
      void init.exit.then(() => {
        this.#state = { kind: "Stopped", init, emptied: this.#empty() };
      });
      void init.answered.then(() => this.#surroundings.onExit(this.#exitType));
      return init;
    } catch (error) {
      this.#state = { kind: "Stopped", init: undefined, emptied: this.#empty() };
      await this.#state.emptied;
      await this.#remove();
      throw error;
    }
  }

  async #addProcess(given: OciProcess, relay: StdioRelay, signal: AbortSignal): Promise<GuestProcess> {
    if (this.#state.kind !== "Running") throw this.#wrongState("adding a process", "Running");
    const { spec, user } = this.#specification;
    const root = spec.root?.path ?? "/";
    const hasOwnUser = (given.user?.username ?? "") !== "";
    const process = {
      ...withUserOf(root, rewriteProcess(given, this.#surroundings.facts)),
      ...(user === undefined || hasOwnUser ? {} : { user }),
      // Those of the first process, whatever is asked for.
      rlimits: spec.process?.rlimits ?? [],
    };
    checkProgram(root, process, arch, spec.mounts);
    const added = await namingFields({ process }, () =>
      connected(relay, process.terminal === true, (stdio) =>
        this.#surroundings.runtime.exec(this.id, process, stdio, signal),
      ),
    );
    const guestProcess = new GuestProcess(added.pid, added.exit, relay);
    this.processes.add(guestProcess);
    return guestProcess;
  }

  /** Throws a GuestFault when the process is none that the host has started in this container, or has ended. */
  signal(pid: number, signal: number): void {
    const process = this.processes.get(pid);
    process.signal(signal);
    if (this.#state.kind === "Running" && process === this.#state.init) this.#initSignalled(this.#state, signal);
  }

  #initSignalled(state: State & { readonly kind: "Running" }, signal: number): void {
    if (signal === sigterm) this.#exitType = "GracefulExit";
    if (signal !== sigkill) return;
    this.#exitType = "ForcedExit";
    this.#thaw(state);
  }

  /** Stops every process where it stands, or lets them go on. */
  async freeze(isFrozen: boolean, signal: AbortSignal): Promise<void> {
    const state = this.#state;
    if (state.kind !== "Running") throw this.#wrongState(isFrozen ? "pausing it" : "resuming it", "Running");
    if (state.isFrozen === isFrozen) {
      throw new GuestFault(
        "HCS_E_INVALID_STATE",
        `container ${this.id} is ${isFrozen ? "paused" : "not paused"} already`,
      );
    }
    await this.#surroundings.runtime.freeze(this.id, isFrozen, signal);
    state.isFrozen = isFrozen;
  }

  /** A frozen process does not die before it is thawed. */
  #thaw(state: State & { readonly kind: "Running" }): void {
    if (!state.isFrozen) return;
    state.isFrozen = false;
    const { runtime, onError } = this.#surroundings;
    runtime
      .freeze(this.id, false)
      .catch((error: unknown) => onError(`container ${this.id} could not be thawed for its end`, error));
  }

  /** Pids of all that runs in the container; before its start, of the process that waits for it. */
  processIds(): readonly number[] {
    const { kind } = this.#state;
    const isThere = kind === "Created" || kind === "Starting" || kind === "Running";
    return isThere ? this.#surroundings.group.processes() : [];
  }

  /** What the kernel has counted for it, also after its end, until its state is deleted. */
  metrics(): GroupMetrics {
    if (this.#state.kind === "Creating") throw this.#wrongState("measuring it", "Created, Running or Stopped");
    return this.#surroundings.group.metrics();
  }

  /** Changes its limits; what is absent stays as it is. */
  async update(resources: OciLinuxResources, signal: AbortSignal): Promise<void> {
    if (this.#state.kind !== "Running") throw this.#wrongState("changing its limits", "Running");
    const { resources: written, lifted } = splitLifted(resources);
    const { group, runtime } = this.#surroundings;
    await namingFields({ linux: { resources } }, () => runtime.update(this.id, written, signal));
    group.lift(lifted);
  }

  /** Ends the container by a signal to its first process. */
  async shutdown(signal: number): Promise<void> {
    const state = this.#state;
    switch (state.kind) {
      case "Creating":
        throw this.#wrongState("shutting it down", "Created or Running");
      case "Created":
        sendSignal(state.made.pid, signal);
        return;
      case "Starting":
        state.abort.abort(
          new GuestFault("HCS_E_TERMINATED_DURING_START", `container ${this.id} was shut down while it started`),
        );
        await state.settled;
        // The start may have won the race.
        if (this.#isRunning()) await this.shutdown(signal);
        return;
      case "Running":
        state.init.signal(signal);
        this.#initSignalled(state, signal);
        state.init.stopKeepingOutputs();
        return;
      case "Stopped":
        throw new GuestFault("HCS_E_SYSTEM_ALREADY_STOPPED", `container ${this.id} has stopped already`);
    }
  }

  /**
   * Resolves when nothing of the container is left but its root file system, which the host has unmounted before. Throws
   * a GuestFault where something cannot be removed; the caller forgets the container all the same.
   */
  async delete(): Promise<void> {
    const state = this.#state;
    switch (state.kind) {
      case "Creating":
      case "Starting":
      case "Running":
        throw new GuestFault(
          "E_FAIL",
          `container ${this.id} is ${state.kind} and goes on, although its state is deleted: that needs Created or Stopped`,
        );
      case "Created":
        state.stdio.close();
        this.#state = { kind: "Stopped", init: undefined, emptied: this.#empty() };
        await this.#state.emptied;
        break;
      case "Stopped":
        state.init?.stopKeepingOutputs();
        await state.emptied;
        break;
    }
    await this.#remove();
    await deleteFolders(this.#folders);
  }

  /** Nobody is told: the host learns of it when it asks for the start. */
  #endedBeforeItsStart(): void {
    if (this.#state.kind !== "Created") return;
    this.#state.stdio.close();
    this.#state = { kind: "Stopped", init: undefined, emptied: this.#empty() };
  }

  #isRunning(): boolean {
    return this.#state.kind === "Running";
  }

  /**
   * Ends what the first process leaves running: without a pid namespace of the container's own it outlives it. Never
   * rejects: a container that has ended stays ended.
   */
  async #empty(): Promise<void> {
    const { group, onError } = this.#surroundings;
    try {
      for (let round = 0; round < mostKillRounds; round++) {
        const left = group.processes();
        if (left.length === 0) return;
        for (const pid of left) {
          try {
            sendSignal(pid, sigkill);
          } catch (error) {
            if (!(error instanceof GuestFault)) throw error;
          }
        }
        await delay(killPauseMs);
      }
    } catch (error) {
      onError(`processes of container ${this.id} could not be ended`, error);
    }
  }

  /** Takes away what the runtime and the kernel keep of it. Never rejects. */
  async #remove(): Promise<void> {
    const { group, runtime, onError } = this.#surroundings;
    try {
      await runtime.remove(this.id);
      group.remove();
    } catch (error) {
      onError(`container ${this.id} has left something behind`, error);
    }
  }

  #wrongState(what: string, accepted: string): GuestFault {
    return new GuestFault(
      "HCS_E_INVALID_STATE",
      `container ${this.id} is ${this.#state.kind}, ${what} needs ${accepted}`,
    );
  }
}

function isAtOrBelow(path: string, folder: string): boolean {
  return path === folder || (folder !== "/" && path.startsWith(`${withoutEndSlashes(folder)}/`));
}

/** Runs what makes a process and joins it with its stdio. */
async function connected(
  relay: StdioRelay,
  terminal: boolean,
  launch: (stdio: ReturnType<StdioRelay["openPipes"]>) => Promise<RuntimeProcess>,
): Promise<RuntimeProcess> {
  const launched = await launch(terminal ? ["ignore", "ignore", "ignore"] : relay.openPipes());
  if (launched.terminal === undefined) relay.startPipes();
  else relay.startTerminal(launched.terminal);
  return launched;
}
