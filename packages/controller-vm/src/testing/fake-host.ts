import type { Duplex } from "node:stream";
import { FakeComputeService, type FakeSystem as ServiceSystem } from "@uvm-shim/hcs-bindings/testing";
import {
  type ComputeSystemDocument,
  type ComputeSystemProperties,
  type CrashReport,
  linuxVsockPorts,
  type ModifySettingRequest,
  type SystemExitStatus,
  type SystemPropertyType,
} from "@uvm-shim/hcs-schema";
import { ScriptedCalls } from "@uvm-shim/lifecycle/testing";
import type { HvsocketService, VmComputeSystem, VmHost, VmListener } from "../types.ts";
import { FakeGuest } from "./fake-guest.ts";

/** The boot of a fake guest, which may dial the host. */
export type Boot = (system: FakeSystem) => void;

/** Dials the services that a Linux guest dials. */
export const bootLinux: Boot = (system) => {
  const entropy = system.dial(linuxVsockPorts.entropy);
  entropy.on("data", (chunk: Buffer) => system.entropy.push(chunk));
  entropy.on("end", () => entropy.end());
  system.log = system.dial(linuxVsockPorts.log);
  system.dial(linuxVsockPorts.gcs);
};

/** A fake compute service; tests have access to its systems and connected guests. */
export class FakeHost implements VmHost {
  readonly script: ScriptedCalls;
  readonly systems: FakeSystem[] = [];
  readonly guests: FakeGuest[] = [];
  boot: Boot = bootLinux;
  readonly #service: FakeComputeService;
  readonly #host: VmHost;

  constructor(script: ScriptedCalls = new ScriptedCalls()) {
    this.script = script;
    this.#service = new FakeComputeService({
      run: (...call) => script.run(...call),
      boot: () => this.boot(this.system),
    });
    this.#host = this.#service.connect();
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

  /** Everything that exists or is open; empty when all is released. */
  leftovers(): readonly string[] {
    return [...this.#service.leftovers(), ...this.guests.filter((guest) => guest.isOpen).map(() => "bridge")];
  }

  async createComputeSystem(id: string, document: ComputeSystemDocument, signal?: AbortSignal): Promise<FakeSystem> {
    const handle = await this.#host.createComputeSystem(id, document, signal);
    const system = new FakeSystem(this, this.#service.find(id), handle);
    this.systems.push(system);
    return system;
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

  /** The service is lost, with all systems and notifications. */
  loseService(): void {
    this.#service.lose();
  }
}

/** A compute system as its client has it open, with access for tests. */
export class FakeSystem implements VmComputeSystem {
  readonly id: string;
  readonly entropy: Buffer[] = [];
  /** Measurements of the host, in place of the fake service's. */
  measured: Pick<ComputeSystemProperties, "Memory" | "Statistics"> = {
    Memory: {
      VirtualNodeCount: 1,
      VirtualMachineMemory: { AvailableMemory: 60, ReservedMemory: 3, AssignedMemory: 262_144, SlpActive: true },
    },
    Statistics: { Processor: { TotalRuntime100ns: 42 } },
  };
  /** The guest's end of its log. */
  log: Duplex | undefined;
  readonly #host: FakeHost;
  readonly #system: ServiceSystem;
  readonly #handle: VmComputeSystem;

  constructor(host: FakeHost, system: ServiceSystem, handle: VmComputeSystem) {
    this.id = handle.id;
    this.#host = host;
    this.#system = system;
    this.#handle = handle;
  }

  get exited(): Promise<SystemExitStatus> {
    return this.#handle.exited;
  }

  start(signal?: AbortSignal): Promise<void> {
    return this.#handle.start(signal);
  }

  terminate(signal?: AbortSignal): Promise<void> {
    return this.#handle.terminate(signal);
  }

  modify(request: ModifySettingRequest, signal?: AbortSignal): Promise<void> {
    return this.#handle.modify(request, signal);
  }

  async properties(types: readonly SystemPropertyType[], signal?: AbortSignal): Promise<ComputeSystemProperties> {
    const { Memory: _memory, Statistics: _statistics, ...plain } = await this.#handle.properties(types, signal);
    return { ...plain, ...this.measured };
  }

  workingSet(signal?: AbortSignal): Promise<number> {
    return this.#handle.workingSet(signal);
  }

  listen(service: HvsocketService): Promise<VmListener> {
    return this.#handle.listen(service);
  }

  close(): Promise<void> {
    return this.#handle.close();
  }

  // The members that follow are for tests only.

  get runtimeId(): string {
    return this.#system.runtimeId;
  }

  get document(): ComputeSystemDocument {
    return this.#system.document;
  }

  get modifications(): readonly ModifySettingRequest[] {
    return this.#system.modifications;
  }

  get crashReport(): CrashReport | undefined {
    return this.#system.crashReport;
  }

  set crashReport(report: CrashReport | undefined) {
    this.#system.crashReport = report;
  }

  /** The host's ends of the guest's connections that are not closed. */
  get connections(): readonly Duplex[] {
    return this.#system.connections;
  }

  /** Dials a port that the host listens on; returns the guest's end. */
  dial(service: HvsocketService): Duplex {
    const stream = this.#system.dial(service);
    if (stream === undefined) throw new Error(`no listener on ${service}`);
    return stream;
  }

  exit(status: number, type: SystemExitStatus["ExitType"]): void {
    this.#system.end(type, status);
    for (const guest of this.#host.guests) guest.lose(new Error("connection reset"));
  }

  loseService(): void {
    this.#host.loseService();
  }
}
