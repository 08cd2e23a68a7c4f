import { type Duplex, duplexPair } from "node:stream";
import {
  type ComputeSystemDocument,
  type ComputeSystemProperties,
  type CrashReport,
  checkModifySettingRequest,
  checkPlan9Share,
  checkPlan9ShareRemoval,
  checkScsiAttachment,
  linuxVsockPorts,
  lunsPerScsiController,
  type ModifySettingRequest,
  type Plan9Share,
  resourcePaths,
  type ScsiAttachment,
  type SystemExitStatus,
  type SystemPropertyType,
  scsiControllerGuids,
} from "@uvm-shim/hcs-schema";
import { portOf } from "../hvsocket-service.ts";
import type { HvsocketService } from "../types.ts";
import { type FakeAssignableDevices, FakeAssignments, vmBusGuidOf } from "./fake-assignments.ts";
import { FakeServiceTable } from "./fake-guest-services.ts";
import { FakeRefusal } from "./fake-refusal.ts";
import { FakeTopology, isTopologyPath } from "./fake-topology.ts";
import { FakeVsmb, isVsmbPath } from "./fake-vsmb.ts";

/** The boot of a guest; it may connect to the host. */
export type FakeBoot = (system: FakeSystem) => void;

/** Connects to those ports of a Linux guest that have listeners, and reads what they send. */
export const bootLinux: FakeBoot = (system) => {
  for (const port of [linuxVsockPorts.entropy, linuxVsockPorts.log, linuxVsockPorts.gcs]) {
    const stream = system.dial(port);
    if (port === linuxVsockPorts.entropy) stream?.on("end", () => stream.end());
    stream?.on("error", () => {}).resume();
  }
};

/** What a system asks of the service that has it. */
export interface OwnerOfSystem {
  readonly assignable: FakeAssignableDevices;
  hasCpuGroup(id: string): boolean;
  requireFile(path: string): void;
  /** Returns what gives the claim back. */
  claim(path: string, readOnly: boolean): () => void;
  /** Nobody has the system open any more, and it has stopped. */
  forget(id: string): void;
}

/** A client's handle, as its system knows it. */
interface HandleOnSystem {
  systemExited(status: SystemExitStatus): void;
}

interface ListenerOnSystem {
  dialled(stream: Duplex): void;
}

interface AttachedDisk {
  readonly attachment: ScsiAttachment;
  readonly release: () => void;
}

/** One system of the service. Its methods are synchronous and throw FakeRefusal or SchemaError. */
export class FakeSystem {
  readonly id: string;
  readonly runtimeId: string;
  readonly document: ComputeSystemDocument;
  /** Disks by `controller:lun`. */
  readonly disks = new Map<string, AttachedDisk>();
  /** Shares by access name. */
  readonly shares = new Map<string, Plan9Share>();
  readonly listeners = new Map<number, ListenerOnSystem>();
  /** Accepted requests, in order. */
  readonly modifications: ModifySettingRequest[] = [];
  readonly handles = new Set<HandleOnSystem>();
  readonly topology: FakeTopology;
  /** Crash report of the guest, if a test lets it crash. */
  crashReport: CrashReport | undefined;
  readonly assignments: FakeAssignments;
  readonly vsmb: FakeVsmb;
  readonly hvsocketServices: FakeServiceTable;
  readonly #service: OwnerOfSystem;
  readonly #boot: FakeBoot;
  readonly #guestEnds = new Set<Duplex>();
  /** Open connections on the host, with their ports. */
  readonly #hostEnds = new Map<Duplex, number>();
  #state: "Created" | "Running" | "Stopped" = "Created";
  #exit: SystemExitStatus | undefined;

  constructor(service: OwnerOfSystem, id: string, document: ComputeSystemDocument, boot: FakeBoot) {
    this.#service = service;
    this.id = id;
    this.document = document;
    this.topology = new FakeTopology(document.VirtualMachine.ComputeTopology.Memory.SizeInMB, (id) =>
      service.hasCpuGroup(id),
    );
    this.assignments = new FakeAssignments(service.assignable);
    this.vsmb = new FakeVsmb(document.VirtualMachine.Devices?.VirtualSmb, (path) => service.requireFile(path));
    this.hvsocketServices = new FakeServiceTable(
      document.VirtualMachine.Devices?.HvSocket?.HvSocketConfig?.ServiceTable,
    );
    this.#boot = boot;
    const number = [...id].reduce((sum, letter) => (sum * 31 + letter.charCodeAt(0)) % 1e9, 7);
    this.runtimeId = `00000000-0000-4000-8000-${String(number).padStart(12, "0")}`;
  }

  get exit(): SystemExitStatus | undefined {
    return this.#exit;
  }

  get properties(): ComputeSystemProperties {
    return {
      Id: this.id,
      SystemType: "VirtualMachine",
      Owner: this.document.Owner,
      RuntimeId: this.runtimeId,
      RuntimeOsType: "Linux",
      State: this.#state,
    };
  }

  /** Statistics and memory require a running system. */
  query(types: readonly SystemPropertyType[]): ComputeSystemProperties {
    if (types.length === 0) return this.properties;
    this.#require("query", "Running");
    const { memory, statistics } = this.topology;
    return {
      ...this.properties,
      ...(types.includes("Memory") && { Memory: memory }),
      ...(types.includes("Statistics") && { Statistics: statistics }),
    };
  }

  get workingSet(): number {
    this.#require("query the working set of", "Running");
    return this.topology.workingSet;
  }

  start(): void {
    this.#require("start", "Created");
    this.#state = "Running";
    const { Scsi = {}, VirtualPci = {}, Plan9 } = this.document.VirtualMachine.Devices ?? {};
    for (const [name, { Attachments = {} }] of Object.entries(Scsi)) {
      for (const [lun, attachment] of Object.entries(Attachments)) {
        this.#attach(`${controllerOf(name)}:${lun}`, attachment);
      }
    }
    for (const [guid, device] of Object.entries(VirtualPci)) this.assignments.add(guid.toLowerCase(), device);
    for (const share of Plan9?.Shares ?? []) this.shares.set(share.AccessName, share);
    this.vsmb.start();
    this.#boot(this);
  }

  /** Ends the system in any state. Idempotent. */
  end(ExitType: SystemExitStatus["ExitType"], Status = 0): void {
    if (this.#state === "Stopped") return;
    this.#state = "Stopped";
    this.#exit = { Status, ExitType };
    for (const { release } of this.disks.values()) release();
    this.disks.clear();
    this.shares.clear();
    this.vsmb.end();
    this.assignments.removeAll();
    // Data sent before the end can still be read.
    for (const stream of this.#guestEnds) stream.resume().end();
    for (const handle of this.handles) handle.systemExited(this.#exit);
    this.#forgetUnused();
  }

  /** Ends the system for `terminate` and `shutdown`. */
  endOnRequest(ExitType: "GracefulExit" | "ForcedExit"): void {
    if (this.#state === "Stopped") throw new FakeRefusal("HCS_E_SYSTEM_ALREADY_STOPPED", "the system has stopped");
    if (ExitType === "GracefulExit") this.#require("shut down", "Running");
    this.end(ExitType);
  }

  handleClosed(handle: HandleOnSystem): void {
    if (!this.handles.delete(handle) || this.handles.size > 0) return;
    if (this.document.ShouldTerminateOnLastHandleClosed === true) this.end("ForcedExit");
    this.#forgetUnused();
  }

  modify(request: ModifySettingRequest): void {
    const { ResourcePath, RequestType, Settings } = checkModifySettingRequest(request);
    const place = placeOf(ResourcePath);
    const vmBusGuid = vmBusGuidOf(ResourcePath);
    const isTopology = isTopologyPath(ResourcePath);
    const isVsmb = isVsmbPath(ResourcePath);
    const isService = FakeServiceTable.isPath(ResourcePath);
    const isKnown = place !== undefined || vmBusGuid !== undefined || isTopology || isVsmb || isService;
    if (!isKnown && ResourcePath !== resourcePaths.plan9Shares) {
      throw new FakeRefusal("E_INVALIDARG", `ResourcePath: unknown resource ${ResourcePath}`);
    }
    this.#require("modify", "Running");
    if (!isVsmb && !isService && isTopology !== (RequestType === "Update")) {
      throw new FakeRefusal("E_INVALIDARG", `RequestType: ${ResourcePath} does not support ${RequestType}`);
    }
    const isAdd = RequestType === "Add";
    if (isVsmb) this.vsmb.modify(request);
    else if (isService) this.hvsocketServices.modify(request);
    else if (isTopology) this.topology.update(ResourcePath, Settings);
    else if (vmBusGuid !== undefined) {
      if (isAdd) this.assignments.add(vmBusGuid, Settings);
      else this.assignments.remove(vmBusGuid);
    } else if (place !== undefined) {
      if (!isAdd) this.#detach(place);
      else this.#attach(this.#requireController(place), checkScsiAttachment(Settings, "Settings"));
    } else if (isAdd) this.#addShare(checkPlan9Share(Settings, "Settings"));
    else {
      const { AccessName } = checkPlan9ShareRemoval(Settings, "Settings");
      if (!this.shares.delete(AccessName))
        throw new FakeRefusal("ERROR_NOT_FOUND", `share ${AccessName} does not exist`);
    }
    this.modifications.push(request);
  }

  /** Host ends of the open connections. */
  get connections(): readonly Duplex[] {
    return [...this.#hostEnds.keys()];
  }

  /** Opens a connection from the guest; undefined if the port has no listener. */
  dial(service: HvsocketService): Duplex | undefined {
    const port = portOf(this.id, service);
    const listener = this.listeners.get(port);
    if (listener === undefined) return undefined;
    const [mine, theirs] = duplexPair();
    this.#guestEnds.add(mine);
    this.#hostEnds.set(theirs, port);
    mine.once("close", () => {
      this.#guestEnds.delete(mine);
      if (!mine.writableFinished) theirs.destroy();
    });
    theirs.once("close", () => {
      this.#hostEnds.delete(theirs);
      mine.destroy();
    });
    listener.dialled(theirs);
    return mine;
  }

  leftovers(): readonly string[] {
    return [
      ...(this.#state === "Stopped" ? [] : [`system ${this.id} (${this.#state})`]),
      ...[...this.disks].map(([place, { attachment }]) => `disk ${attachment.Path} at ${place}`),
      ...[...this.shares.values()].map(({ AccessName, Path }) => `share ${AccessName} of ${Path}`),
      ...[...this.vsmb.shares.values()].map(({ Name, Path }) => `VSMB share ${Name} of ${Path}`),
      ...this.vsmb.pipes.map((path) => `mapped pipe ${path}`),
      ...this.assignments.guids.map((guid) => `device ${guid}`),
      ...[...this.listeners.keys()].map((port) => `listener ${port}`),
      ...[...this.#hostEnds.values()].map((port) => `connection to ${port}`),
    ];
  }

  #attach(place: string, attachment: ScsiAttachment): void {
    if (this.disks.has(place)) throw new FakeRefusal("ERROR_ALREADY_EXISTS", `a disk is already attached at ${place}`);
    const { Path, ReadOnly = false } = attachment;
    this.#service.requireFile(Path);
    this.disks.set(place, { attachment, release: this.#service.claim(Path, ReadOnly) });
  }

  #detach(place: string): void {
    const disk = this.disks.get(place);
    if (disk === undefined) throw new FakeRefusal("ERROR_NOT_FOUND", `no disk is attached at ${place}`);
    disk.release();
    this.disks.delete(place);
  }

  #addShare(share: Plan9Share): void {
    if (this.document.VirtualMachine.Devices?.Plan9 === undefined) {
      throw new FakeRefusal("HCS_E_SYSTEM_NOT_CONFIGURED_FOR_OPERATION", "the document does not enable Plan9");
    }
    this.#service.requireFile(share.Path);
    if (this.shares.has(share.AccessName)) {
      throw new FakeRefusal("ERROR_ALREADY_EXISTS", `share ${share.AccessName} already exists`);
    }
    this.shares.set(share.AccessName, share);
  }

  #requireController(place: string): string {
    const names = Object.keys(this.document.VirtualMachine.Devices?.Scsi ?? {});
    if (names.some((name) => `${controllerOf(name)}` === place.split(":")[0])) return place;
    throw new FakeRefusal("HCS_E_SYSTEM_NOT_CONFIGURED_FOR_OPERATION", `the document has no controller for ${place}`);
  }

  #require(operation: string, state: "Created" | "Running"): void {
    if (this.#state === state) return;
    throw new FakeRefusal("HCS_E_INVALID_STATE", `cannot ${operation} a ${this.#state} system: expected ${state}`);
  }

  #forgetUnused(): void {
    if (this.#state === "Stopped" && this.handles.size === 0) this.#service.forget(this.id);
  }
}

function controllerOf(name: string): number {
  return scsiControllerGuids.findIndex((guid, number) => [guid, `${number}`].includes(name.toLowerCase()));
}

/** `controller:lun` in the resource path of a SCSI attachment. */
function placeOf(path: string): string | undefined {
  const [, name = "", lun = ""] = /^VirtualMachine\/Devices\/Scsi\/([^/]+)\/Attachments\/(\d{1,2})$/.exec(path) ?? [];
  const controller = controllerOf(name);
  return controller === -1 || Number(lun) >= lunsPerScsiController ? undefined : `${controller}:${Number(lun)}`;
}
