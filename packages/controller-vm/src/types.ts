/** What the VM controller asks of the host, of the guest and of its surroundings. */
import type { Duplex } from "node:stream";
import type {
  ComputeSystemDocument,
  ComputeSystemProperties,
  CrashReport,
  ModifySettingRequest,
  NetworkAdapter,
  Plan9Share,
  ProcessorLimits,
  ScsiAttachment,
  SecurityPolicyFragment,
  SystemExitStatus,
  SystemPropertyType,
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
  properties(types: readonly SystemPropertyType[], signal?: AbortSignal): Promise<ComputeSystemProperties>;
  /** Bytes of the host's memory that a VM occupies whose memory is virtual. */
  workingSet(signal?: AbortSignal): Promise<number>;
  /** What the host told of a crash of the guest, before the exit. */
  readonly crashReport: CrashReport | undefined;
  /** Settles once with the exit, or rejects when the host service is lost or the handle closed. */
  readonly exited: Promise<SystemExitStatus>;
  listen(service: HvsocketService): Promise<VmListener>;
  close(): Promise<void>;
}

/** A vsock port, or the GUID of an hvsocket service. */
export type HvsocketService = number | string;

export interface VmListener {
  accept(signal?: AbortSignal): Promise<Duplex>;
  close(): Promise<void>;
}

/** The guest over its bridge; what else it can do is known to those who are given it. */
export interface VmGuest {
  /** Resolves when the bridge has ended, with the cause when it was not closed on purpose. */
  readonly closed: Promise<Error | undefined>;
  close(): Promise<void>;
  readonly canDumpStacks: boolean;
  dumpStacks(signal?: AbortSignal): Promise<string>;
  injectPolicyFragment(fragment: SecurityPolicyFragment, signal?: AbortSignal): Promise<void>;
}

/** What differs between VMs of Linux and of Windows guests. */
export interface VmFlavour<Guest extends VmGuest> {
  /** What the guest dials. */
  readonly services: { readonly log: HvsocketService; readonly bridge: HvsocketService };
  /** Absent where the guest seeds its random numbers itself. */
  readonly entropy?: { readonly service: HvsocketService; readonly generate: (bytes: number) => Uint8Array };
  /** Connections to the log that are served at a time; a guest that reconnects waits until one has ended. */
  readonly logConnections: number;
  /** Tells a guest that has just been connected to what it must know before it is used. */
  readonly connected?: (guest: Guest, system: VmComputeSystem, signal: AbortSignal) => Promise<void>;
  /** Tells the guest that the VM has more memory, or less. */
  readonly memoryResized?: (guest: Guest, signal: AbortSignal) => Promise<void>;
  readonly execute: (guest: Guest, command: VmCommand, signal: AbortSignal) => Promise<VmProcess>;
  /** Reads OCI resources for a VM of so many processors. Throws a SchemaError naming the field. */
  readonly readResources: (resources: unknown, processors: number) => VmResources;
}

/** Resources in the terms of HCS; what is absent stays as it is. */
export interface VmResources {
  readonly memoryInMb?: number;
  readonly limits?: ProcessorLimits;
}

/** Changes of a running VM; what is absent stays as it is. */
export interface VmUpdate {
  /** OCI resources of the guest's operating system as parsed JSON, unchecked. */
  readonly resources?: unknown;
  /** `io.microsoft.virtualmachine.cpugroup.id` names the CPU group that the VM joins. */
  readonly annotations?: { readonly [key: string]: string };
  readonly policyFragment?: { readonly fragment: string; readonly mediaType?: string };
}

/** A program of the guest itself, outside of every container. */
export interface VmCommand {
  readonly args: readonly string[];
  readonly workingDirectory?: string;
  readonly environment?: { readonly [name: string]: string };
  readonly terminal?: boolean;
  /** Which streams are connected. */
  readonly stdin?: boolean;
  readonly stdout?: boolean;
  readonly stderr?: boolean;
}

export interface VmProcess {
  /** Pid in the guest. */
  readonly pid: number;
  readonly stdin?: Duplex;
  readonly stdout?: Duplex;
  readonly stderr?: Duplex;
  /** Resolves with the exit code; rejects when guest or bridge is lost. */
  wait(): Promise<number>;
  /** Unimplemented by Linux guests, which signal and resize processes of containers alone. */
  signal(signal: number, abort?: AbortSignal): Promise<void>;
  resize(height: number, width: number, abort?: AbortSignal): Promise<void>;
  /** Closes the host's ends of the stdio, by which a process that reads or writes ends. Repeatable. */
  close(): Promise<void>;
}

/** What the host measures of the VM, as VirtualMachineStatistics of containerd.runhcs.stats.v1 have it. */
export interface VmStatistics {
  readonly processor: { readonly totalRuntimeNs: number };
  readonly memory: {
    readonly workingSetBytes: number;
    readonly virtualNodeCount: number;
    /** Memory in pages of 4 KiB. */
    readonly vmMemory: {
      readonly availableMemory: number;
      readonly availableMemoryBuffer: number;
      readonly reservedMemory: number;
      readonly assignedMemory: number;
      readonly slpActive: boolean;
      readonly balancingEnabled: boolean;
      readonly dmOperationInProgress: boolean;
    };
  };
}

/** Speaks with a guest that has dialled in: negotiates, and answers with the guest's face. */
export type GuestConnector<Guest extends VmGuest> = (
  stream: Duplex,
  system: VmComputeSystem,
  signal: AbortSignal,
) => Promise<Guest>;

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
  /** Where the guest has crashed and the host tells of it. */
  readonly crashReport?: CrashReport;
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
