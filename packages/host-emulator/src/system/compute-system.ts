import {
  type ComputeSystemProperties,
  type CrashReport,
  checkModifySettingRequest,
  checkPlan9Share,
  checkPlan9ShareRemoval,
  checkScsiAttachment,
  checkVirtualPciDevice,
  hresults,
  type ModifySettingRequest,
  type SystemExitStatus,
  type SystemPropertyType,
} from "@uvm-shim/hcs-schema";
import { settlesWithin, systemClock } from "@uvm-shim/lifecycle";
import type { DiskSlot, GuestEnd, GuestMachine } from "../guest-machine.ts";
import { asFailure, HcsFailure } from "../hcs-failure.ts";
import type { AssignableDevices } from "./assignable-devices.ts";
import { AssignedDevices } from "./assigned-devices.ts";
import { type DiskClaims, type DiskFile, openDiskFile } from "./disk-file.ts";
import { checkShare, type SystemPlan } from "./document.ts";
import type { SystemNics } from "./nics.ts";
import { readResourcePath } from "./resource-path.ts";
import { type CpuGroups, isTopology, memoryInformationOf, statisticsOf, updateTopology } from "./topology.ts";

type State =
  | { readonly kind: "Created" }
  | { readonly kind: "Starting"; readonly machine: GuestMachine }
  | { readonly kind: "Running"; readonly machine: GuestMachine; readonly startedAt: Date }
  | { readonly kind: "Ending"; readonly machine: GuestMachine; readonly asked: "GracefulExit" | "ForcedExit" }
  | { readonly kind: "Stopped"; readonly status: SystemExitStatus };

/** Somebody who has the system open. */
export interface HandleOwner {
  /** Comes before the exit. */
  systemCrashed?(report: CrashReport): void;
  systemExited(status: SystemExitStatus): void;
}

export interface ComputeSystemOptions {
  readonly id: string;
  readonly runtimeId: string;
  readonly vsockBase: string;
  readonly plan: SystemPlan;
  readonly claims: DiskClaims;
  readonly assignable: AssignableDevices;
  readonly nics: SystemNics;
  /** Paths of the network namespaces of this machine that the system has joined, by their ids. */
  joinedNetworks(): ReadonlyMap<string, string>;
  readonly cpuGroups: CpuGroups;
  createMachine(): GuestMachine;
  /** Called once the system has ended and its machine is gone. */
  stopped(): void;
  /** Called when nothing is left that could need the system. */
  forget(): void;
  /** How long terminate and shutdown wait for the end before they answer that it is still to come. */
  readonly endTimeoutMs: number;
}

/** One compute system: its state, its handles and what is plugged into it. */
export class ComputeSystem {
  readonly id: string;
  readonly runtimeId: string;
  readonly vsockBase: string;
  readonly #options: ComputeSystemOptions;
  readonly #plan: SystemPlan;
  readonly #handles = new Set<HandleOwner>();
  readonly #disks = new Map<string, { readonly release: () => void }>();
  readonly #shares = new Set<string>();
  readonly #devices: AssignedDevices;
  readonly #exit = Promise.withResolvers<SystemExitStatus>();
  #state: State = { kind: "Created" };
  #modifications: Promise<void> = Promise.resolve();

  constructor(options: ComputeSystemOptions) {
    this.#options = options;
    this.#plan = options.plan;
    this.#devices = new AssignedDevices(options.assignable, options.id);
    this.id = options.id;
    this.runtimeId = options.runtimeId;
    this.vsockBase = options.vsockBase;
  }

  get owner(): string {
    return this.#plan.owner;
  }

  /** What is always told, and the groups asked for: what is measured needs a machine that runs. */
  properties(types: readonly SystemPropertyType[] = []): ComputeSystemProperties {
    const always = this.#properties();
    if (types.length === 0) return always;
    const { machine, startedAt } = this.#running("measure");
    const usage = machine.usage();
    return {
      ...always,
      ...(types.includes("Memory") && { Memory: memoryInformationOf(usage, this.#plan.physicallyBacked) }),
      ...(types.includes("Statistics") && { Statistics: statisticsOf(usage, startedAt, new Date()) }),
    };
  }

  get workingSetBytes(): number {
    return this.#running("measure").machine.usage().memoryBytes;
  }

  #properties(): ComputeSystemProperties {
    return {
      Id: this.id,
      SystemType: "VirtualMachine",
      Owner: this.owner,
      RuntimeId: this.runtimeId,
      RuntimeOsType: "Linux",
      State: shownStates[this.#state.kind],
    };
  }

  openHandle(owner: HandleOwner): void {
    this.#handles.add(owner);
    if (this.#state.kind === "Stopped") owner.systemExited(this.#state.status);
  }

  closeHandle(owner: HandleOwner): void {
    if (!this.#handles.delete(owner) || this.#handles.size > 0) return;
    if (this.#state.kind === "Stopped") this.#options.forget();
    else if (this.#plan.endsWithLastHandle) this.end();
  }

  async start(): Promise<void> {
    if (this.#state.kind !== "Created") throw this.#wrongState("start", "Created");
    const machine = this.#options.createMachine();
    this.#state = { kind: "Starting", machine };
    void machine.ended.then((end) => this.#ended(end));
    try {
      await machine.boot();
      for (const [id, path] of this.#options.joinedNetworks()) await machine.offerNetwork(id, path);
      for (const { slot, disk } of this.#plan.disks) await this.#attach(machine, slot, disk);
      for (const share of this.#plan.shares) {
        await machine.addShare(share);
        this.#shares.add(share.AccessName);
      }
      for (const [guid, device] of this.#plan.devices) {
        await this.#devices.add(machine, guid, device, `VirtualMachine.Devices.VirtualPci.${guid}`);
      }
      // Ended in between: the devices are plugged into a machine that goes away.
      if (!this.#isIn("Starting")) throw new Error("no longer starting");
      this.#state = { kind: "Running", machine, startedAt: new Date() };
    } catch (cause) {
      const wasEnded = this.#isIn("Ending");
      machine.kill();
      await this.#exit.promise;
      if (!wasEnded) throw asFailure(cause);
      throw new HcsFailure("HCS_E_TERMINATED_DURING_START", "the system was ended while it started", { cause });
    }
  }

  /** Throws an HcsFailure unless it waits for its start. */
  requireCreated(operation: string): void {
    if (this.#state.kind !== "Created") throw this.#wrongState(operation, "Created");
  }

  /** Has the guest do nothing, or go on: for those who want to see what becomes of a guest that hangs. */
  async freeze(isFrozen: boolean): Promise<void> {
    if (this.#state.kind !== "Running") throw this.#wrongState(isFrozen ? "freeze" : "thaw", "Running");
    await this.#state.machine.freeze(isFrozen);
  }

  /** Resolves when the system has ended. */
  async terminate(): Promise<void> {
    if (this.#state.kind === "Stopped") throw this.#alreadyStopped();
    this.end();
    await this.#endWithinTime("terminate");
  }

  /** Asks the guest to end, and resolves when it has. */
  async shutdown(): Promise<void> {
    switch (this.#state.kind) {
      case "Stopped":
        throw this.#alreadyStopped();
      case "Created":
      case "Starting":
        throw this.#wrongState("shut down", "Running");
      case "Running":
        this.#state = { kind: "Ending", machine: this.#state.machine, asked: "GracefulExit" };
        this.#state.machine.shutdown();
        break;
      case "Ending":
        break;
    }
    await this.#endWithinTime("shutdown");
  }

  /** Ends the system, without waiting until it has ended. */
  end(): void {
    switch (this.#state.kind) {
      case "Created":
        this.#stop({ Status: hresults.S_OK, ExitType: "ForcedExit" });
        return;
      case "Starting":
      case "Running":
      case "Ending":
        this.#state = { kind: "Ending", machine: this.#state.machine, asked: "ForcedExit" };
        this.#state.machine.kill();
        return;
      case "Stopped":
        return;
    }
  }

  get exited(): Promise<SystemExitStatus> {
    return this.#exit.promise;
  }

  /** Plugs or unplugs a device. Requests are taken one after the other. */
  modify(request: unknown): Promise<void> {
    const turn = this.#modifications.then(() => this.#modify(checkModifySettingRequest(request)));
    this.#modifications = turn.catch(() => {});
    return turn;
  }

  async #modify(request: ModifySettingRequest): Promise<void> {
    const resource = readResourcePath(request.ResourcePath);
    const { machine } = this.#running("modify");
    if (isTopology(resource)) return updateTopology(machine, resource, request, this.#options.cpuGroups);
    switch (request.RequestType) {
      case "Update":
        throw new HcsFailure("E_INVALIDARG", `RequestType: ${request.ResourcePath} takes "Add" and "Remove"`);
      case "Add":
        if (resource.kind === "plan9") return this.#addShare(machine, request);
        if (resource.kind === "vpci") {
          const device = checkVirtualPciDevice(request.Settings, "Settings");
          return this.#devices.add(machine, resource.vmBusGuid, device, "Settings");
        }
        if (resource.kind === "nic") return this.#options.nics.add(machine, resource.id, request.Settings);
        this.#requireController(resource.slot);
        return this.#attach(
          machine,
          resource.slot,
          openDiskFile(checkScsiAttachment(request.Settings, "Settings"), "Settings"),
        );
      case "Remove":
        if (resource.kind === "plan9") return this.#removeShare(machine, request);
        if (resource.kind === "vpci") return this.#devices.remove(machine, resource.vmBusGuid);
        if (resource.kind === "nic") return this.#options.nics.remove(machine, resource.id);
        return this.#detach(machine, resource.slot);
    }
  }

  async #attach(machine: GuestMachine, slot: DiskSlot, disk: DiskFile): Promise<void> {
    const key = slotKey(slot);
    if (this.#disks.has(key)) throw new HcsFailure("ERROR_ALREADY_EXISTS", `a disk is attached at ${key}`);
    const release = this.#options.claims.claim(disk);
    try {
      await machine.attachDisk(slot, disk);
    } catch (error) {
      release();
      throw error;
    }
    this.#disks.set(key, { release });
  }

  async #detach(machine: GuestMachine, slot: DiskSlot): Promise<void> {
    const key = slotKey(slot);
    const attached = this.#disks.get(key);
    if (attached === undefined) throw new HcsFailure("ERROR_NOT_FOUND", `no disk is attached at ${key}`);
    await machine.detachDisk(slot);
    this.#disks.delete(key);
    attached.release();
  }

  async #addShare(machine: GuestMachine, request: ModifySettingRequest): Promise<void> {
    if (!this.#plan.hasPlan9) {
      throw new HcsFailure(
        "HCS_E_SYSTEM_NOT_CONFIGURED_FOR_OPERATION",
        "the system's document has no VirtualMachine.Devices.Plan9",
      );
    }
    const share = checkPlan9Share(request.Settings, "Settings");
    checkShare(share, "Settings");
    if (this.#shares.has(share.AccessName)) {
      throw new HcsFailure("ERROR_ALREADY_EXISTS", `Settings.AccessName: there is a share ${share.AccessName}`);
    }
    await machine.addShare(share);
    this.#shares.add(share.AccessName);
  }

  async #removeShare(machine: GuestMachine, request: ModifySettingRequest): Promise<void> {
    const { AccessName: name } = checkPlan9ShareRemoval(request.Settings, "Settings");
    if (!this.#shares.has(name)) {
      throw new HcsFailure("ERROR_NOT_FOUND", `Settings.AccessName: there is no share ${name}`);
    }
    await machine.removeShare(name);
    this.#shares.delete(name);
  }

  #requireController({ controller }: DiskSlot): void {
    if (this.#plan.controllers.has(controller)) return;
    throw new HcsFailure(
      "HCS_E_SYSTEM_NOT_CONFIGURED_FOR_OPERATION",
      `the system's document has no SCSI controller ${controller} below VirtualMachine.Devices.Scsi`,
    );
  }

  #ended(end: GuestEnd): void {
    const state = this.#state;
    if (state.kind === "Ending" && (state.asked === "ForcedExit" || end.orderly)) {
      this.#stop({ Status: hresults.S_OK, ExitType: state.asked });
      return;
    }
    if (state.kind === "Running" && end.orderly) {
      this.#stop({ Status: hresults.S_OK, ExitType: "GracefulExit" });
      return;
    }
    const CrashLog = `${end.reason}\n${end.console}`.trimEnd();
    for (const owner of this.#handles) owner.systemCrashed?.({ SystemId: this.id, CrashLog });
    this.#stop({
      Status: hresults.HCS_E_UNEXPECTED_EXIT,
      ExitType: "UnexpectedExit",
      Attribution: [{ GuestCrash: {} }],
    });
  }

  #stop(status: SystemExitStatus): void {
    this.#state = { kind: "Stopped", status };
    for (const { release } of this.#disks.values()) release();
    this.#disks.clear();
    this.#devices.release();
    this.#options.nics.release();
    this.#options.stopped();
    for (const owner of this.#handles) owner.systemExited(status);
    this.#exit.resolve(status);
    if (this.#handles.size === 0) this.#options.forget();
  }

  async #endWithinTime(operation: string): Promise<void> {
    const { endTimeoutMs } = this.#options;
    if (await settlesWithin(this.#exit.promise, endTimeoutMs, systemClock)) return;
    const message = `${operation}: the system has not ended within ${endTimeoutMs} ms`;
    throw new HcsFailure("HCS_E_OPERATION_TIMEOUT", message);
  }

  /** Asked anew after each wait, where the compiler still believes the last answer. */
  #isIn(kind: State["kind"]): boolean {
    return this.#state.kind === kind;
  }

  #running(operation: string): Extract<State, { kind: "Running" }> {
    if (this.#state.kind === "Running") return this.#state;
    throw this.#wrongState(operation, "Running");
  }

  #wrongState(operation: string, expected: string): HcsFailure {
    return new HcsFailure(
      "HCS_E_INVALID_STATE",
      `cannot ${operation} a system in state ${this.#state.kind}, only in ${expected}`,
    );
  }

  #alreadyStopped(): HcsFailure {
    return new HcsFailure("HCS_E_SYSTEM_ALREADY_STOPPED", "the system has stopped");
  }
}

const shownStates: { readonly [Kind in State["kind"]]: ComputeSystemProperties["State"] } = {
  Created: "Created",
  Starting: "Created",
  Running: "Running",
  Ending: "Running",
  Stopped: "Stopped",
};

function slotKey({ controller, lun }: DiskSlot): string {
  return `SCSI controller ${controller}, LUN ${lun}`;
}
