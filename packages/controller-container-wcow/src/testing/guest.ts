import { PassThrough } from "node:stream";
import { FakeGuestProcess } from "@uvm-shim/container-common/testing";
import type {
  WindowsBlockCims,
  WindowsCombinedLayers,
  WindowsConfidentialLayers,
  WindowsContainerChange,
  WindowsContainerStatistics,
  WindowsProcessDetails,
  WindowsProcessParameters,
} from "@uvm-shim/hcs-schema";
import { type ScriptedCalls, scriptedError } from "@uvm-shim/lifecycle/testing";
import type { ContainerGuest, GuestContainer, WindowsGuestProcess } from "../types.ts";

/** STATUS_CONTROL_C_EXIT: what most programs end with when their container is shut down. */
const endedByConsole = 0xc000013a;
/** What TerminateProcess was given. */
const terminated = 0xffffffff;

/** A program of the VM that ends at once. */
class FakeCommand extends FakeGuestProcess {
  readonly stdout: PassThrough = new PassThrough();
  readonly stderr: PassThrough = new PassThrough();

  constructor({ exitCode, output }: CommandOutcome) {
    super(50);
    this.stdout.end(output);
    this.stderr.end();
    this.exit(exitCode);
  }
}

/** How a command in the fake VM ends. */
export interface CommandOutcome {
  readonly exitCode: number;
  readonly output: string;
}

/** A container that goes on until it is shut down or terminated, whatever becomes of its init process. */
export class FakeGuestContainer implements GuestContainer {
  readonly id: string;
  readonly processesRun: FakeGuestProcess[] = [];
  readonly executions: WindowsProcessParameters[] = [];
  readonly changes: WindowsContainerChange[] = [];
  readonly exited: Promise<unknown>;
  /** Programs in it that do not react when the container is shut down. */
  ignoresShutdown = false;
  /** Whether it goes on even when it is terminated. */
  ignoresTermination = false;
  /** Whether the guest does not report that it has ended. */
  endsSilently = false;
  readonly #ended = Promise.withResolvers<void>();
  readonly #guest: FakeGuest;
  readonly #script: ScriptedCalls;
  #isStarted = false;

  constructor(id: string, guest: FakeGuest, script: ScriptedCalls) {
    this.id = id;
    this.exited = this.#ended.promise;
    this.#guest = guest;
    this.#script = script;
  }

  start(signal?: AbortSignal): Promise<void> {
    return this.#script.run("start", this.id, signal, () => {
      if (this.#isStarted) throw scriptedError("FailedPrecondition", "the container is started");
      this.#isStarted = true;
    });
  }

  async execute(parameters: WindowsProcessParameters, signal?: AbortSignal): Promise<WindowsGuestProcess> {
    let process: FakeGuestProcess | undefined;
    try {
      return await this.#script.run("execute", parameters.CommandLine, signal, () => {
        if (!this.#isStarted) throw scriptedError("FailedPrecondition", "the container is not started");
        this.executions.push(parameters);
        process = new FakeGuestProcess(100 + this.processesRun.length);
        this.processesRun.push(process);
        return process;
      });
    } catch (error) {
      // As the interface requires: a process whose start was not answered is ended.
      process?.exit(terminated);
      throw error;
    }
  }

  processes(signal?: AbortSignal): Promise<readonly WindowsProcessDetails[]> {
    return this.#script.run("processes", this.id, signal, () => {
      this.#requireKnown();
      if (!this.#guest.running.has(this.id)) return [];
      return [...this.processesRun, { pid: 999 }].map(({ pid }) => ({ ProcessId: pid, ImageName: `${pid}.exe` }));
    });
  }

  statistics(signal?: AbortSignal): Promise<WindowsContainerStatistics> {
    return this.#script.run("statistics", this.id, signal, () => ({ Uptime100ns: 7 }));
  }

  systemGuid(signal?: AbortSignal): Promise<string> {
    return this.#script.run("systemGuid", this.id, signal, () => "6bd9d2c7-0000-4000-8000-000000000001");
  }

  modify(change: WindowsContainerChange, signal?: AbortSignal): Promise<void> {
    return this.#script.run("modify", change.ResourcePath, signal, () => void this.changes.push(change));
  }

  shutdown(signal?: AbortSignal): Promise<void> {
    return this.#script.run("shutdown", this.id, signal, () => {
      if (!this.#isStarted) throw scriptedError("FailedPrecondition", "the container is not started");
      if (!this.ignoresShutdown) this.end(endedByConsole);
    });
  }

  terminate(signal?: AbortSignal): Promise<void> {
    return this.#script.run("terminate", this.id, signal, () => {
      if (!this.ignoresTermination) this.end(terminated);
    });
  }

  /** The container ends, with all of its processes. */
  end(exitCode: number): void {
    this.#guest.running.delete(this.id);
    for (const process of this.processesRun) process.exit(exitCode);
    if (!this.endsSilently) this.#ended.resolve();
  }

  deleteState(signal?: AbortSignal): Promise<void> {
    return this.#script.run("deleteState", this.id, signal, () => {
      this.#requireKnown();
      if (this.#guest.running.has(this.id)) throw scriptedError("FailedPrecondition", "the container runs");
      this.#guest.known.delete(this.id);
    });
  }

  #requireKnown(): void {
    if (!this.#guest.known.has(this.id)) throw scriptedError("NotFound", `no container ${this.id}`);
  }
}

/** A guest that remembers its containers and what is combined, and refuses what real ones refuse. */
export class FakeGuest implements ContainerGuest {
  /** Root paths of combined layers. */
  readonly combined = new Set<string>();
  readonly combinations: WindowsCombinedLayers[] = [];
  /** Ids of the containers that the layers of a confidential VM are for. */
  readonly confidential: string[] = [];
  /** Volumes of block CIMs. */
  readonly volumes = new Map<string, WindowsBlockCims>();
  /** Ids of containers that have not ended, and of those with state in the guest. */
  readonly running = new Set<string>();
  readonly known = new Set<string>();
  readonly documents: object[] = [];
  readonly containers: FakeGuestContainer[] = [];
  readonly commands: WindowsProcessParameters[] = [];
  /** What programs of the VM end with, by a part of their command line. */
  readonly outcomes = new Map<string, CommandOutcome>();
  readonly #script: ScriptedCalls;

  constructor(script: ScriptedCalls) {
    this.#script = script;
  }

  addCombinedLayers(layers: WindowsCombinedLayers, signal?: AbortSignal): Promise<void> {
    return this.#script.run("combine", layers.ContainerRootPath, signal, () => this.#combine(layers));
  }

  removeCombinedLayers(
    { ContainerRootPath }: Pick<WindowsCombinedLayers, "ContainerRootPath">,
    signal?: AbortSignal,
  ): Promise<void> {
    return this.#script.run("uncombine", ContainerRootPath, signal, () => this.#separate(ContainerRootPath));
  }

  addConfidentialLayers(layers: WindowsConfidentialLayers, signal?: AbortSignal): Promise<void> {
    const { ContainerID, CombinedLayers } = layers;
    return this.#script.run("combine", CombinedLayers.ContainerRootPath, signal, () => {
      this.#combine(CombinedLayers);
      this.confidential.push(ContainerID);
    });
  }

  removeConfidentialLayers({ CombinedLayers }: WindowsConfidentialLayers, signal?: AbortSignal): Promise<void> {
    const { ContainerRootPath } = CombinedLayers;
    return this.#script.run("uncombine", ContainerRootPath, signal, () => this.#separate(ContainerRootPath));
  }

  mountBlockCims(cims: WindowsBlockCims, signal?: AbortSignal): Promise<void> {
    return this.#script.run("mountBlockCims", cims.VolumeGUID, signal, () => {
      if (this.volumes.has(cims.VolumeGUID)) throw scriptedError("AlreadyExists", "the volume exists");
      this.volumes.set(cims.VolumeGUID, cims);
    });
  }

  unmountBlockCims({ VolumeGUID }: Pick<WindowsBlockCims, "VolumeGUID">, signal?: AbortSignal): Promise<void> {
    return this.#script.run("unmountBlockCims", VolumeGUID, signal, () => {
      if (!this.volumes.delete(VolumeGUID)) throw scriptedError("NotFound", `no volume ${VolumeGUID}`);
    });
  }

  execute(parameters: WindowsProcessParameters, signal?: AbortSignal): Promise<WindowsGuestProcess> {
    return this.#script.run("run", parameters.CommandLine, signal, () => {
      this.commands.push(parameters);
      const found = [...this.outcomes].find(([part]) => parameters.CommandLine.includes(part));
      return new FakeCommand(found?.[1] ?? { exitCode: 0, output: "" });
    });
  }

  async createContainer(id: string, document: object, signal?: AbortSignal): Promise<FakeGuestContainer> {
    const container = new FakeGuestContainer(id, this, this.#script);
    try {
      return await this.#script.run("createContainer", id, signal, () => {
        if (this.known.has(id)) throw scriptedError("AlreadyExists", `there is a container ${id}`);
        this.running.add(id);
        this.known.add(id);
        this.documents.push(document);
        this.containers.push(container);
        return container;
      });
    } catch (error) {
      // As the interface requires: the guest removes a container whose creation failed late.
      if (this.containers.at(-1) === container) {
        this.running.delete(id);
        this.known.delete(id);
      }
      throw error;
    }
  }

  #combine(layers: WindowsCombinedLayers): void {
    if (this.combined.has(layers.ContainerRootPath)) throw scriptedError("AlreadyExists", "layers are combined there");
    this.combinations.push(layers);
    this.combined.add(layers.ContainerRootPath);
  }

  #separate(root: string): void {
    if (!this.combined.delete(root)) throw scriptedError("NotFound", "nothing is combined there");
  }
}
