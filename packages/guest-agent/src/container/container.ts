/** A container of the guest: made by the host's create message, started by the execute message for its first process. */
import { mkdirSync, writeFileSync } from "node:fs";
import { arch } from "node:process";
import { GuestFault, type NotificationType } from "@uvm-shim/gcs-bridge";
import type { GroupMetrics, LiftedLimit } from "@uvm-shim/guest-agent-common";
import type { LinuxProcessParameters, OciLinuxResources, OciProcess, OciSpec, OciUser } from "@uvm-shim/hcs-schema";
import { delay } from "@uvm-shim/lifecycle";
import type { GuestFacts } from "../boot/facts.ts";
import { type HeldStdio, holdStdio } from "../process/held-stdio.ts";
import type { OutputCopyPlace } from "../process/output-copy.ts";
import { GuestProcess, ProcessTable, sendSignal } from "../process/process.ts";
import type { StdioRelay } from "../process/stdio-relay.ts";
import { type ContainerFolders, deleteFolders, discardFolders } from "./container-folders.ts";
import { makeFoldersInRoot, makeMountPoints, withoutEndSlashes } from "./path-in-root.ts";
import { checkProgram } from "./program.ts";
import type { OciRuntime, RuntimeProcess } from "./runtime.ts";
import { namingFields } from "./runtime-faults.ts";
import { rewriteProcess, specificationText, splitLifted } from "./specification.ts";
import { withUserOf } from "./users.ts";

const sigterm = 15;
const sigkill = 9;
/** How long, and how often, to wait for killed processes. */
const killPauseMs = 10;
const mostKillRounds = 100;

/** The agent's access to the cgroup of a container. */
export interface ContainerGroup {
  processes(): readonly number[];
  metrics(): GroupMetrics;
  /** Removes limits. */
  lift(limits: readonly LiftedLimit[]): void;
  remove(): void;
}

/** What a container needs of its guest. */
export interface ContainerSurroundings {
  readonly runtime: OciRuntime;
  readonly facts: GuestFacts;
  readonly group: ContainerGroup;
  /** Called once a wait has been answered with the exit of its first process. */
  onExit(type: NotificationType): void;
  onError(what: string, error: unknown): void;
}

type ContainerState =
  | { readonly kind: "Creating" }
  | { readonly kind: "Created"; readonly made: RuntimeProcess; readonly stdio: HeldStdio }
  | { readonly kind: "Starting"; readonly abort: AbortController; readonly settled: Promise<unknown> }
  | {
      readonly kind: "Running";
      readonly init: GuestProcess;
      isFrozen: boolean;
    }
  | { readonly kind: "Stopped"; readonly init: GuestProcess | undefined; readonly emptied: Promise<void> };
type ContainerStateKind = ContainerState["kind"];

/** What a container runs, as it was prepared for this guest. */
export interface ContainerSpecification {
  readonly spec: OciSpec;
  /** A file of the guest that receives a copy of the first process's output. */
  readonly outputCopy: OutputCopyPlace | undefined;
  /** The user of added processes without a user name; undefined for the one in their parameters. */
  readonly user: OciUser | undefined;
}

/** A container of the guest, from its creation by the runtime to the deletion of its state. */
export class Container {
  readonly id: string;
  readonly processes = new ProcessTable();
  readonly #folders: ContainerFolders;
  readonly #specification: ContainerSpecification;
  readonly #surroundings: ContainerSurroundings;
  #state: ContainerState = { kind: "Creating" };
  /** Decided by the last TERM or KILL sent to its first process. */
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

  get state(): ContainerStateKind {
    return this.#state.kind;
  }

  get rootPath(): string {
    return this.#specification.spec.root?.path ?? "/";
  }

  /** The runtime makes the container. Returns the pid of its first process, which waits for the start. */
  async create(): Promise<number> {
    const { spec } = this.#specification;
    const { bundle } = this.#folders;
    const { process = { cwd: "/" }, root = { path: "/" }, mounts = [] } = spec;
    try {
      checkProgram(root.path, process, arch, mounts);
      // On a mount, the working directory does not belong to the root.
      const isOnMount = mounts.some(({ destination }) => isAtOrBelow(process.cwd, destination));
      if (!isOnMount) makeFoldersInRoot(root.path, process.cwd);
      makeMountPoints(root.path, mounts);
      mkdirSync(bundle, { recursive: true, mode: 0o711 });
      writeFileSync(`${bundle}/config.json`, specificationText(spec), { mode: 0o600 });
      const hasTerminal = process.terminal === true;
      // A host that disconnects meanwhile finds the container when it reconnects.
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
   * Removes a container that could not be made, with the files in its folder; the host unmounts what it has mounted for
   * it. Returns the cause, which says so if files of the host are at risk.
   */
  async discard(cause: unknown): Promise<unknown> {
    const { onError } = this.#surroundings;
    if (this.#state.kind === "Created") this.#state.stdio.close();
    this.#state = { kind: "Stopped", init: undefined, emptied: this.#empty() };
    await this.#state.emptied;
    await this.#remove();
    return await discardFolders(this.#folders, cause, (error) => onError(`cannot create container ${this.id}`, error));
  }

  /** Starts the first process, or adds one to a running container. On failure the caller closes the relay. */
  async execute(parameters: LinuxProcessParameters, relay: StdioRelay, signal: AbortSignal): Promise<GuestProcess> {
    // The other parameters of terminals apply only to processes of the VM itself.
    if (parameters.OCIProcess === undefined) return await this.#startInit(relay, signal);
    return await this.#addProcess(parameters.OCIProcess, relay, signal);
  }

  async #startInit(relay: StdioRelay, signal: AbortSignal): Promise<GuestProcess> {
    if (this.#state.kind !== "Created") throw this.#wrongState("start its first process", "Created");
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
    if (this.#state.kind !== "Running") throw this.#wrongState("add a process", "Running");
    const { spec, user } = this.#specification;
    const root = spec.root?.path ?? "/";
    const hasOwnUser = (given.user?.username ?? "") !== "";
    const process = {
      ...withUserOf(root, rewriteProcess(given, this.#surroundings.facts)),
      ...(user === undefined || hasOwnUser ? {} : { user }),
      // As in the real guest, the limits of the first process replace the requested ones.
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

  /** Throws a GuestFault unless the host has started the process in this container, and it still runs. */
  signal(pid: number, signal: number): void {
    const process = this.processes.get(pid);
    process.signal(signal);
    if (this.#state.kind === "Running" && process === this.#state.init) this.#initSignalled(this.#state, signal);
  }

  #initSignalled(state: ContainerState & { readonly kind: "Running" }, signal: number): void {
    if (signal === sigterm) this.#exitType = "GracefulExit";
    if (signal !== sigkill) return;
    this.#exitType = "ForcedExit";
    this.#thaw(state);
  }

  /** Freezes every process, or thaws them. */
  async freeze(isFrozen: boolean, signal: AbortSignal): Promise<void> {
    const state = this.#state;
    if (state.kind !== "Running") throw this.#wrongState(isFrozen ? "pause it" : "resume it", "Running");
    if (state.isFrozen === isFrozen) {
      throw new GuestFault(
        "HCS_E_INVALID_STATE",
        `container ${this.id} is ${isFrozen ? "already paused" : "not paused"}`,
      );
    }
    await this.#surroundings.runtime.freeze(this.id, isFrozen, signal);
    state.isFrozen = isFrozen;
  }

  /** A killed process that is frozen ends only once it is thawed. */
  #thaw(state: ContainerState & { readonly kind: "Running" }): void {
    if (!state.isFrozen) return;
    state.isFrozen = false;
    const { runtime, onError } = this.#surroundings;
    runtime
      .freeze(this.id, false)
      .catch((error: unknown) => onError(`cannot thaw container ${this.id} after its kill`, error));
  }

  /** Pids of all processes in the container; before the start, of the process that waits for it. */
  processIds(): readonly number[] {
    const { kind } = this.#state;
    const isThere = kind === "Created" || kind === "Starting" || kind === "Running";
    return isThere ? this.#surroundings.group.processes() : [];
  }

  /** Available after its end as well, until its state is deleted. */
  metrics(): GroupMetrics {
    if (this.#state.kind === "Creating") throw this.#wrongState("read its statistics", "Created, Running or Stopped");
    return this.#surroundings.group.metrics();
  }

  /** Limits that are absent stay. */
  async update(resources: OciLinuxResources, signal: AbortSignal): Promise<void> {
    if (this.#state.kind !== "Running") throw this.#wrongState("change its limits", "Running");
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
        throw this.#wrongState("shut it down", "Created or Running");
      case "Created":
        sendSignal(state.made.pid, signal);
        return;
      case "Starting":
        state.abort.abort(
          new GuestFault("HCS_E_TERMINATED_DURING_START", `container ${this.id} was shut down during its start`),
        );
        await state.settled;
        // The start may have succeeded before the abort.
        if (this.#isRunning()) await this.shutdown(signal);
        return;
      case "Running":
        state.init.signal(signal);
        this.#initSignalled(state, signal);
        state.init.stopKeepingOutputs();
        return;
      case "Stopped":
        throw new GuestFault("HCS_E_SYSTEM_ALREADY_STOPPED", `container ${this.id} has already stopped`);
    }
  }

  /**
   * Removes everything of the container but its root file system, which the host has already unmounted. Throws a
   * GuestFault if something cannot be removed; the caller forgets the container all the same.
   */
  async delete(): Promise<void> {
    const state = this.#state;
    switch (state.kind) {
      case "Creating":
      case "Starting":
      case "Running":
        throw new GuestFault(
          "E_FAIL",
          `cannot delete the state of container ${this.id}, which runs on without it: it is ${state.kind}, expected Created or Stopped`,
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

  /** Not reported: the start fails. */
  #endedBeforeItsStart(): void {
    if (this.#state.kind !== "Created") return;
    this.#state.stdio.close();
    this.#state = { kind: "Stopped", init: undefined, emptied: this.#empty() };
  }

  #isRunning(): boolean {
    return this.#state.kind === "Running";
  }

  /**
   * Ends the processes that the first process has left, which outlive it unless the container has a pid namespace of its
   * own. Never rejects: a container that has ended stays ended.
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
      onError(`cannot end the processes of container ${this.id}`, error);
    }
  }

  /** Removes the state of the runtime and the cgroups. Never rejects. */
  async #remove(): Promise<void> {
    const { group, runtime, onError } = this.#surroundings;
    try {
      await runtime.remove(this.id);
      group.remove();
    } catch (error) {
      onError(`cannot remove all state of container ${this.id}`, error);
    }
  }

  #wrongState(action: string, expected: string): GuestFault {
    return new GuestFault(
      "HCS_E_INVALID_STATE",
      `cannot ${action}: container ${this.id} is ${this.#state.kind}, expected ${expected}`,
    );
  }
}

function isAtOrBelow(path: string, folder: string): boolean {
  return path === folder || (folder !== "/" && path.startsWith(`${withoutEndSlashes(folder)}/`));
}

/** Launches a process and connects it with its stdio. */
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
