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
import { SystemHvsockets } from "./hvsockets.ts";
import type { SystemNics } from "./nics.ts";
import { readResourcePath } from "./resource-path.ts";
import { type CpuGroups, isTopology, memoryInformationOf, statisticsOf, updateTopology } from "./topology.ts";
import { isVsmb, SystemVsmb } from "./vsmb.ts";

type SystemState =
  | { readonly kind: "Created" }
  | { readonly kind: "Starting"; readonly machine: GuestMachine }
  | { readonly kind: "Running"; readonly machine: GuestMachine; readonly startedAt: Date }
  | { readonly kind: "Ending"; readonly machine: GuestMachine; readonly asked: "GracefulExit" | "ForcedExit" }
  | { readonly kind: "Stopped"; readonly status: SystemExitStatus };
type SystemStateKind = SystemState["kind"];

/** The owner of a handle. */
export interface HandleOwner {
  /** Called before the exit. */
  systemCrashed?(report: CrashReport): void;
  systemExited(status: SystemExitStatus): void;
}

/** What a compute system is made from. */
export interface ComputeSystemOptions {
  readonly id: string;
  readonly runtimeId: string;
  readonly vsockBase: string;
  readonly plan: SystemPlan;
  readonly claims: DiskClaims;
  readonly assignable: AssignableDevices;
  readonly nics: SystemNics;
  /** Paths of joined network namespaces of this machine, by HCN id. */
  joinedNetworks(): ReadonlyMap<string, string>;
  readonly cpuGroups: CpuGroups;
  createMachine(): GuestMachine;
  /** Called when the system and its machine have ended. */
  stopped(): void;
  /** Called when the system is no longer needed. */
  forget(): void;
  /** Milliseconds that terminate and shutdown wait before they answer that the end is pending. */
  readonly endTimeoutMs: number;
}

/** One compute system: its state, handles and devices. */
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
  readonly #vsmb: SystemVsmb;
  readonly #hvsockets: SystemHvsockets;
  readonly #exit = Promise.withResolvers<SystemExitStatus>();
  #state: SystemState = { kind: "Created" };
  #modifications: Promise<void> = Promise.resolve();

  constructor(options: ComputeSystemOptions) {
    this.#options = options;
    this.#plan = options.plan;
    this.#devices = new AssignedDevices(options.assignable, options.id);
    this.#vsmb = new SystemVsmb(options.plan.vsmb);
    this.#hvsockets = new SystemHvsockets(options.plan.hvsockets);
    this.id = options.id;
    this.runtimeId = options.runtimeId;
    this.vsockBase = options.vsockBase;
  }

  get owner(): string {
    return this.#plan.owner;
  }

  /** Basic properties and the requested groups. Measurements require a running machine. */
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
      RuntimeOsType: this.#plan.boot.kind,
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
      await this.#vsmb.start(machine);
      for (const [guid, device] of this.#plan.devices) {
        await this.#devices.add(machine, guid, device, `VirtualMachine.Devices.VirtualPci.${guid}`);
      }
      // The system has been ended meanwhile, so its devices are irrelevant.
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

  /** Throws an HcsFailure unless the system is created or runs. */
  requirePlaceable(operation: string): void {
    const { kind } = this.#state;
    if (kind !== "Created" && kind !== "Running") throw this.#wrongState(operation, "Created");
  }

  /** Does nothing before the start, which places the machine. */
  async offerNetwork(id: string, path: string): Promise<void> {
    if (this.#state.kind === "Running") await this.#state.machine.offerNetwork(id, path);
  }

  /** Does nothing before the start, which places the machine. */
  async enterPodGroup(path: string): Promise<void> {
    if (this.#state.kind === "Running") await this.#state.machine.enterPodGroup(path);
  }

  /** Freezes or thaws the guest, to test the handling of a hanging guest. */
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

  /** Asks the guest to shut down; resolves when it has ended. */
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

  /** Ends the system without waiting for its end. */
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

  /** Adds or removes a device. Requests run one after another. */
  modify(request: unknown): Promise<void> {
    const turn = this.#modifications.then(() => this.#modify(checkModifySettingRequest(request)));
    this.#modifications = turn.catch(() => {});
    return turn;
  }

  async #modify(request: ModifySettingRequest): Promise<void> {
    const resource = readResourcePath(request.ResourcePath);
    const { machine } = this.#running("modify");
    if (isTopology(resource)) return updateTopology(machine, resource, request, this.#options.cpuGroups);
    if (isVsmb(resource)) return this.#vsmb.modify(machine, resource, request);
    if (resource.kind === "hvsocket service") return this.#hvsockets.modify(resource, request);
    switch (request.RequestType) {
      case "Update":
        throw new HcsFailure("E_INVALIDARG", `RequestType: expected "Add" or "Remove" for ${request.ResourcePath}`);
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
    if (this.#disks.has(key)) throw new HcsFailure("ERROR_ALREADY_EXISTS", `a disk is already attached at ${key}`);
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
        "the document does not have VirtualMachine.Devices.Plan9",
      );
    }
    const share = checkPlan9Share(request.Settings, "Settings");
    checkShare(share, "Settings");
    if (this.#shares.has(share.AccessName)) {
      throw new HcsFailure("ERROR_ALREADY_EXISTS", `Settings.AccessName: share ${share.AccessName} already exists`);
    }
    await machine.addShare(share);
    this.#shares.add(share.AccessName);
  }

  async #removeShare(machine: GuestMachine, request: ModifySettingRequest): Promise<void> {
    const { AccessName: name } = checkPlan9ShareRemoval(request.Settings, "Settings");
    if (!this.#shares.has(name)) {
      throw new HcsFailure("ERROR_NOT_FOUND", `Settings.AccessName: share ${name} does not exist`);
    }
    await machine.removeShare(name);
    this.#shares.delete(name);
  }

  #requireController({ controller }: DiskSlot): void {
    if (this.#plan.controllers.has(controller)) return;
    throw new HcsFailure(
      "HCS_E_SYSTEM_NOT_CONFIGURED_FOR_OPERATION",
      `the document does not have SCSI controller ${controller} in VirtualMachine.Devices.Scsi`,
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
    const message = `${operation}: the system did not end within ${endTimeoutMs} ms`;
    throw new HcsFailure("HCS_E_OPERATION_TIMEOUT", message);
  }

  /** A fresh check after a wait; the compiler would keep the narrowed type. */
  #isIn(kind: SystemStateKind): boolean {
    return this.#state.kind === kind;
  }

  #running(operation: string): Extract<SystemState, { kind: "Running" }> {
    if (this.#state.kind === "Running") return this.#state;
    throw this.#wrongState(operation, "Running");
  }

  #wrongState(operation: string, expected: string): HcsFailure {
    return new HcsFailure(
      "HCS_E_INVALID_STATE",
      `cannot ${operation} a ${this.#state.kind} system: expected ${expected}`,
    );
  }

  #alreadyStopped(): HcsFailure {
    return new HcsFailure("HCS_E_SYSTEM_ALREADY_STOPPED", "the system has stopped");
  }
}

const shownStates: { readonly [Kind in SystemStateKind]: ComputeSystemProperties["State"] } = {
  Created: "Created",
  Starting: "Created",
  Running: "Running",
  Ending: "Running",
  Stopped: "Stopped",
};

function slotKey({ controller, lun }: DiskSlot): string {
  return `SCSI controller ${controller}, LUN ${lun}`;
}
