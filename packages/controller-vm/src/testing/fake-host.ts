import { type Duplex, duplexPair } from "node:stream";
import {
  type ComputeSystemDocument,
  type ComputeSystemProperties,
  type CrashReport,
  checkComputeSystemDocument,
  checkCpuGroup,
  checkMemorySize,
  checkModifySettingRequest,
  checkProcessorLimits,
  linuxVsockPorts,
  type ModifySettingRequest,
  resourcePaths,
  type SystemExitStatus,
  type SystemPropertyType,
} from "@uvm-shim/hcs-schema";
import { ScriptedCalls, scriptedError } from "@uvm-shim/lifecycle/testing";
import type { HvsocketService, VmComputeSystem, VmHost, VmListener } from "../types.ts";
import { FakeGuest } from "./fake-guest.ts";

const updates: { readonly [path: string]: (settings: unknown, path: string) => unknown } = {
  [resourcePaths.memorySize]: checkMemorySize,
  [resourcePaths.processorLimits]: checkProcessorLimits,
  [resourcePaths.cpuGroup]: checkCpuGroup,
};

/** What a fake guest does when its VM starts; it may dial the host. */
export type Boot = (system: FakeSystem) => void;

/** Dials what a Linux guest dials. */
export const bootLinux: Boot = (system) => {
  const entropy = system.dial(linuxVsockPorts.entropy);
  entropy.on("data", (chunk: Buffer) => system.entropy.push(chunk));
  entropy.on("end", () => entropy.end());
  system.log = system.dial(linuxVsockPorts.log);
  system.dial(linuxVsockPorts.gcs);
};

/** Systems that exist, with what is open on them, as strict as a compute service. */
export class FakeHost implements VmHost {
  readonly script: ScriptedCalls;
  readonly systems: FakeSystem[] = [];
  readonly guests: FakeGuest[] = [];
  boot: Boot = bootLinux;

  constructor(script: ScriptedCalls = new ScriptedCalls()) {
    this.script = script;
  }

  get system(): FakeSystem {
    const last = this.systems.at(-1);
    if (last === undefined) throw new Error("no system was created");
    return last;
  }

  get guest(): FakeGuest {
    const last = this.guests.at(-1);
    if (last === undefined) throw new Error("no guest was connected");
    return last;
  }

  /** Everything that exists or is open; empty when all was given back. */
  leftovers(): readonly string[] {
    return [
      ...this.systems.flatMap((system) => system.leftovers()),
      ...this.guests.filter((guest) => guest.isOpen).map(() => "bridge"),
    ];
  }

  async createComputeSystem(id: string, document: ComputeSystemDocument, signal?: AbortSignal): Promise<FakeSystem> {
    let made: FakeSystem | undefined;
    try {
      return await this.script.run("createComputeSystem", id, signal, () => {
        checkComputeSystemDocument(document);
        made = new FakeSystem(this, id, document);
        this.systems.push(made);
        return made;
      });
    } catch (error) {
      // A driver whose answer nobody gets lets go of the handle.
      made?.letGo();
      throw error;
    }
  }

  readonly connectGuest = async (stream: Duplex, _system: VmComputeSystem, signal: AbortSignal): Promise<FakeGuest> => {
    let made: FakeGuest | undefined;
    try {
      return await this.script.run("connectGuest", "", signal, () => {
        made = new FakeGuest(this.script, stream);
        this.guests.push(made);
        return made;
      });
    } catch (error) {
      made?.lose(undefined);
      throw error;
    }
  };
}

export class FakeSystem implements VmComputeSystem {
  readonly id: string;
  readonly runtimeId = "11111111-2222-3333-4444-555555555555";
  readonly document: ComputeSystemDocument;
  readonly entropy: Buffer[] = [];
  readonly modifications: ModifySettingRequest[] = [];
  measured: Pick<ComputeSystemProperties, "Memory" | "Statistics"> = {
    Memory: {
      VirtualNodeCount: 1,
      VirtualMachineMemory: { AvailableMemory: 60, ReservedMemory: 3, AssignedMemory: 262_144, SlpActive: true },
    },
    Statistics: { Processor: { TotalRuntime100ns: 42 } },
  };
  crashReport: CrashReport | undefined;
  /** The guest's end of its log. */
  log: Duplex | undefined;
  readonly #host: FakeHost;
  readonly #exited = Promise.withResolvers<SystemExitStatus>();
  readonly #listeners = new Map<HvsocketService, FakeListener>();
  /** Whose listen was not answered: nobody but the driver can close them, with the handle. */
  readonly #unanswered = new Set<FakeListener>();
  readonly #dialled: Duplex[] = [];
  #isRunning = false;
  #exists = true;
  #isOpen = true;

  constructor(host: FakeHost, id: string, document: ComputeSystemDocument) {
    this.#host = host;
    this.id = id;
    this.document = document;
    // Who gave up creating it does not listen.
    this.#exited.promise.catch(() => {});
  }

  get exited(): Promise<SystemExitStatus> {
    return this.#exited.promise;
  }

  start(signal?: AbortSignal): Promise<void> {
    return this.#host.script.run("start", this.id, signal, () => {
      if (!this.#exists || this.#isRunning) throw scriptedError("FailedPrecondition", "cannot start");
      this.#isRunning = true;
      this.#host.boot(this);
    });
  }

  terminate(signal?: AbortSignal): Promise<void> {
    return this.#host.script.run("terminate", this.id, signal, () => this.exit(0, "ForcedExit"));
  }

  /** The host's ends of the guest's connections, which it has not let go of. */
  get connections(): readonly Duplex[] {
    return this.#dialled.filter((stream) => !stream.destroyed);
  }

  modify(request: ModifySettingRequest, signal?: AbortSignal): Promise<void> {
    return this.#host.script.run("modify", request.ResourcePath, signal, () => {
      updates[request.ResourcePath]?.(request.Settings, "Settings");
      this.modifications.push(checkModifySettingRequest(request));
    });
  }

  properties(types: readonly SystemPropertyType[], signal?: AbortSignal): Promise<ComputeSystemProperties> {
    return this.#host.script.run("properties", types.join(","), signal, () => ({
      Id: this.id,
      SystemType: "VirtualMachine",
      Owner: this.document.Owner,
      RuntimeId: this.runtimeId,
      RuntimeOsType: "Linux",
      State: "Running",
      ...this.measured,
    }));
  }

  workingSet(signal?: AbortSignal): Promise<number> {
    return this.#host.script.run("workingSet", this.id, signal, () => 7 * 2 ** 20);
  }

  async listen(port: HvsocketService): Promise<VmListener> {
    let made: FakeListener | undefined;
    try {
      const listener = await this.#host.script.run("listen", String(port), undefined, () => {
        if (this.#listeners.has(port)) throw scriptedError("AlreadyExists", `${port} is listened on`);
        made = new FakeListener(this.#host.script, port, () => this.#listeners.delete(port));
        this.#listeners.set(port, made);
        this.#unanswered.add(made);
        return made;
      });
      this.#unanswered.delete(listener);
      return listener;
    } catch (error) {
      made?.letGo();
      throw error;
    }
  }

  close(): Promise<void> {
    return this.#host.script.run("closeSystem", this.id, undefined, () => this.letGo());
  }

  // What follows is not seen by the controller.

  /** The guest's end of a connection to a port that the host listens on. */
  dial(port: HvsocketService): Duplex {
    const listener = this.#listeners.get(port);
    if (listener === undefined) throw new Error(`nobody listens on ${port}`);
    const [mine, theirs] = duplexPair();
    this.#dialled.push(theirs);
    listener.dial(theirs);
    return mine;
  }

  exit(status: number, type: SystemExitStatus["ExitType"]): void {
    if (!this.#exists) return;
    this.#exists = false;
    if (this.#isRunning) {
      this.#exited.resolve({ Status: status, ExitType: type });
      this.log?.end();
      for (const guest of this.#host.guests) guest.lose(new Error("connection reset"));
    }
  }

  /** The service is lost, and with it all notifications. */
  loseService(): void {
    this.#exited.reject(scriptedError("Unavailable", "the compute service is gone"));
  }

  letGo(): void {
    this.#isOpen = false;
    for (const listener of this.#unanswered) listener.letGo();
    this.#exited.reject(new Error("the handle is closed"));
    if (this.document.ShouldTerminateOnLastHandleClosed === true) this.#exists = false;
  }

  leftovers(): readonly string[] {
    return [
      ...(this.#exists ? ["system"] : []),
      ...(this.#isOpen ? ["system handle"] : []),
      ...[...this.#listeners.values()].map(({ port }) => `listener ${port}`),
      ...this.connections.map(() => "connection"),
    ];
  }
}

class FakeListener implements VmListener {
  readonly port: HvsocketService;
  readonly #script: ScriptedCalls;
  readonly #onClose: () => void;
  readonly #dialled: Duplex[] = [];
  #wake = (): void => {};
  #isOpen = true;

  constructor(script: ScriptedCalls, port: HvsocketService, onClose: () => void) {
    this.#script = script;
    this.port = port;
    this.#onClose = onClose;
  }

  dial(stream: Duplex): void {
    this.#dialled.push(stream);
    this.#wake();
  }

  async accept(signal?: AbortSignal): Promise<Duplex> {
    for (;;) {
      signal?.throwIfAborted();
      if (!this.#isOpen) throw scriptedError("Cancelled", `listener ${this.port} is closed`);
      const stream = this.#dialled.shift();
      if (stream !== undefined) return stream;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
        signal?.addEventListener("abort", () => resolve(), { once: true });
      });
    }
  }

  close(): Promise<void> {
    return this.#script.run("closeListener", String(this.port), undefined, () => this.letGo());
  }

  letGo(): void {
    this.#isOpen = false;
    for (const stream of this.#dialled) stream.destroy();
    this.#onClose();
    this.#wake();
  }
}
