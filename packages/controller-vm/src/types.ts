/** What the VM controller asks of the host, of the guest and of its surroundings. */
import type { Duplex } from "node:stream";
import type {
  ComputeSystemDocument,
  ModifySettingRequest,
  NetworkAdapter,
  Plan9Share,
  ScsiAttachment,
  SystemExitStatus,
  VirtualPciDevice,
} from "@uvm-shim/hcs-schema";

export interface VmHost {
  createComputeSystem(id: string, document: ComputeSystemDocument, signal?: AbortSignal): Promise<VmComputeSystem>;
}

export interface VmComputeSystem {
  readonly id: string;
  readonly runtimeId: string;
  start(signal?: AbortSignal): Promise<void>;
  terminate(signal?: AbortSignal): Promise<void>;
  modify(request: ModifySettingRequest, signal?: AbortSignal): Promise<void>;
  /** Settles once with the exit, or rejects when the host service is lost or the handle closed. */
  readonly exited: Promise<SystemExitStatus>;
  listen(port: number): Promise<VmListener>;
  close(): Promise<void>;
}

export interface VmListener {
  accept(signal?: AbortSignal): Promise<Duplex>;
  close(): Promise<void>;
}

/** The guest over its bridge; what else it can do is known to those who are given it. */
export interface VmGuest {
  /** Resolves when the bridge has ended, with the cause when it was not closed on purpose. */
  readonly closed: Promise<Error | undefined>;
  close(): Promise<void>;
}

/** Speaks with a guest that has dialled in: negotiates, and answers with the guest's face. */
export type GuestConnector<Guest extends VmGuest> = (
  stream: Duplex,
  system: VmComputeSystem,
  signal: AbortSignal,
) => Promise<Guest>;

export interface VmClock {
  now(): Date;
  /** Resolves after so many milliseconds, or rejects with the signal's reason. */
  delay(milliseconds: number, signal: AbortSignal): Promise<void>;
}

/** One line of the guest's log, parsed as far as it could be. */
export interface GuestLogLine {
  readonly level: "trace" | "debug" | "info" | "warn" | "error";
  readonly message: string;
  readonly fields: { readonly [key: string]: unknown };
}

export interface VmExit {
  /** 0 for an orderly end; else the HRESULT the system exited with, or 1 when only its loss is known. */
  readonly status: number;
  readonly exitedAt: Date;
  readonly reason: string;
  readonly system?: SystemExitStatus;
}

/** The host's side of the VM's devices; what the device controllers ask of a host. */
export interface VmHostDevices {
  attachDisk(controller: number, lun: number, attachment: ScsiAttachment, signal?: AbortSignal): Promise<void>;
  detachDisk(controller: number, lun: number, signal?: AbortSignal): Promise<void>;
  addShare(share: Plan9Share, signal?: AbortSignal): Promise<void>;
  removeShare(share: Pick<Plan9Share, "Name" | "AccessName" | "Port">, signal?: AbortSignal): Promise<void>;
  assignDevice(vmBusGuid: string, device: VirtualPciDevice, signal?: AbortSignal): Promise<void>;
  unassignDevice(vmBusGuid: string, signal?: AbortSignal): Promise<void>;
  addNic(nicId: string, adapter: NetworkAdapter, signal?: AbortSignal): Promise<void>;
  removeNic(nicId: string, adapter: NetworkAdapter, signal?: AbortSignal): Promise<void>;
}

/** What a device controller is made from. */
export interface DeviceWiring<Guest extends VmGuest> {
  /** Id of the VM. */
  readonly id: string;
  readonly host: VmHostDevices;
  /** Throws FailedPrecondition while the VM does not run; the error says `gone` once the VM has ended. */
  readonly guest: () => Guest;
}

export interface ScsiWiring<Guest extends VmGuest> extends DeviceWiring<Guest> {
  readonly controllers: number;
  /** Slots that the VM's document uses, and for what. */
  readonly reserved: readonly {
    readonly controller: number;
    readonly lun: number;
    readonly attachment: ScsiAttachment;
  }[];
}

/** How the device controllers are made; the VM controller knows none of them. */
export interface VmDevices<Guest extends VmGuest, Scsi, Plan9, Vpci> {
  readonly scsi: (wiring: ScsiWiring<Guest>) => Scsi;
  /** Absent where the guest has no Plan9. */
  readonly plan9?: (wiring: DeviceWiring<Guest>) => Plan9;
  /** Absent where no devices are assigned. */
  readonly vpci?: (wiring: DeviceWiring<Guest>) => Vpci;
}
