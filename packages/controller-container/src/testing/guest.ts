import { posix } from "node:path";
import { FakeGuestProcess } from "@uvm-shim/container-common/testing";
import type {
  CgroupMetrics,
  LinuxCombinedLayers,
  LinuxHostedContainerSettings,
  LinuxProcessParameters,
  OciLinuxResources,
} from "@uvm-shim/hcs-schema";
import { type ScriptedCalls, scriptedError } from "@uvm-shim/lifecycle/testing";
import type { ContainerGuest, GuestContainer } from "../types.ts";

/** A container of the guest, which itself ends a process whose start was not answered. */
export class FakeGuestContainer implements GuestContainer {
  readonly id: string;
  readonly processes: FakeGuestProcess[] = [];
  readonly executions: LinuxProcessParameters[] = [];
  readonly signals: number[] = [];
  readonly updates: OciLinuxResources[] = [];
  isPaused = false;
  /** The guest's kernel kills a process for lack of memory. */
  outOfMemory: () => void = () => {};
  readonly #guest: FakeGuest;
  readonly #script: ScriptedCalls;

  constructor(id: string, guest: FakeGuest, script: ScriptedCalls) {
    this.id = id;
    this.#guest = guest;
    this.#script = script;
  }

  start(signal?: AbortSignal): Promise<void> {
    return this.#script.run("start", this.id, signal, () => {});
  }

  execute(parameters: LinuxProcessParameters, signal?: AbortSignal): Promise<FakeGuestProcess> {
    return this.#script.run("execute", parameters.OCIProcess?.args?.join(" ") ?? "init", signal, () => {
      this.executions.push(parameters);
      const process = new FakeGuestProcess(100 + this.processes.length);
      this.processes.push(process);
      return process;
    });
  }

  processIds(signal?: AbortSignal): Promise<readonly number[]> {
    return this.#script.run("processIds", this.id, signal, () => {
      if (!this.#guest.running.has(this.id)) return [];
      // The init process exists, and waits for its start.
      return this.processes.length === 0 ? [100] : [...this.processes.map(({ pid }) => pid), 999];
    });
  }

  metrics(signal?: AbortSignal): Promise<CgroupMetrics> {
    return this.#script.run("metrics", this.id, signal, () => ({ version: 1, metrics: { pids: { current: 2 } } }));
  }

  update(resources: OciLinuxResources, signal?: AbortSignal): Promise<void> {
    return this.#script.run("update", this.id, signal, () => void this.updates.push(resources));
  }

  pause(signal?: AbortSignal): Promise<void> {
    return this.#script.run("pause", this.id, signal, () => {
      this.isPaused = true;
    });
  }

  resume(signal?: AbortSignal): Promise<void> {
    return this.#script.run("resume", this.id, signal, () => {
      this.isPaused = false;
    });
  }

  onOutOfMemory(listener: () => void): void {
    this.outOfMemory = listener;
  }

  signalAll(signal: number, abort?: AbortSignal): Promise<void> {
    return this.#script.run("signalAll", this.id, abort, () => void this.signals.push(signal));
  }

  terminate(signal?: AbortSignal): Promise<void> {
    return this.#script.run("terminate", this.id, signal, () => {
      this.#guest.running.delete(this.id);
      for (const process of this.processes) process.exit(137);
    });
  }

  deleteState(signal?: AbortSignal): Promise<void> {
    return this.#script.run("deleteState", this.id, signal, () => this.#guest.deleteState(this.id));
  }
}

/** A guest that remembers its containers and what is combined, and refuses what real ones refuse. */
export class FakeGuest implements ContainerGuest {
  /** Root paths of combined layers. */
  readonly combined = new Set<string>();
  /** Folders of containers over which the guest has mounted a part of the scratch disk. */
  readonly bound = new Set<string>();
  /** Root paths whose content the guest has deleted. */
  readonly emptied = new Set<string>();
  readonly combinations: LinuxCombinedLayers[] = [];
  /** Ids of containers with processes, and of those with state in the guest. */
  readonly running = new Set<string>();
  readonly known = new Set<string>();
  readonly settings: LinuxHostedContainerSettings[] = [];
  readonly containers: FakeGuestContainer[] = [];
  /** Ids of network namespaces that a container holds or has held. */
  readonly #held = new Set<string>();
  readonly #script: ScriptedCalls;

  constructor(script: ScriptedCalls) {
    this.#script = script;
  }

  /** Checks what microsoft/hcsshim's guest refuses or crashes on. */
  #check({
    OciSpecification: { annotations = {}, hostname = "", linux, windows },
  }: LinuxHostedContainerSettings): void {
    const type = annotations["io.kubernetes.cri.container-type"];
    if (linux?.resources === undefined) throw scriptedError("Unavailable", "the guest ends without linux.resources");
    if (type === "container") {
      if (hostname !== "") throw scriptedError("InvalidArgument", "a workload must not have a hostname");
      return;
    }
    const { networkNamespace = "" } = windows?.network ?? {};
    if (this.#held.has(networkNamespace)) throw scriptedError("FailedPrecondition", "the namespace has its container");
    // Never freed: a namespace stays held as long as the VM exists.
    this.#held.add(networkNamespace);
  }

  addCombinedLayers(layers: LinuxCombinedLayers, signal?: AbortSignal): Promise<void> {
    return this.#script.run("combine", layers.ContainerRootPath, signal, () => {
      this.combinations.push(layers);
      this.combined.add(layers.ContainerRootPath);
      const bundle = posix.dirname(layers.ContainerRootPath);
      const { ScratchPath } = layers;
      if (ScratchPath !== "" && posix.relative(bundle, ScratchPath).startsWith("..")) this.bound.add(bundle);
    });
  }

  removeCombinedLayers(layers: LinuxCombinedLayers, signal?: AbortSignal): Promise<void> {
    return this.#script.run("uncombine", layers.ContainerRootPath, signal, () => {
      if (this.bound.delete(layers.ContainerRootPath)) return;
      if (!this.combined.delete(layers.ContainerRootPath)) throw scriptedError("NotFound", "nothing combined there");
    });
  }

  /** As microsoft/hcsshim's guest: deletes mounted files too, and also forgets a running container, which goes on. */
  deleteState(id: string): void {
    if (!this.known.delete(id)) throw scriptedError("NotFound", `no container ${id}`);
    if (this.running.has(id)) throw scriptedError("FailedPrecondition", "the container runs, and is forgotten");
    const settings = this.settings.findLast(({ OciBundlePath }) => posix.basename(OciBundlePath) === id);
    const bundle = settings?.OciBundlePath ?? "";
    if (this.combined.has(`${bundle}/rootfs`)) this.emptied.add(`${bundle}/rootfs`);
    else this.bound.delete(bundle);
  }

  async createContainer(
    id: string,
    settings: LinuxHostedContainerSettings,
    signal?: AbortSignal,
  ): Promise<FakeGuestContainer> {
    const container = new FakeGuestContainer(id, this, this.#script);
    try {
      return await this.#script.run("createContainer", id, signal, () => {
        this.#check(settings);
        this.running.add(id);
        this.known.add(id);
        this.settings.push(settings);
        this.containers.push(container);
        return container;
      });
    } catch (error) {
      // As the interface requires: the guest removes a container whose creation failed late.
      this.running.delete(id);
      this.known.delete(id);
      throw error;
    }
  }
}
