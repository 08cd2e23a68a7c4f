/** What the VM controller needs of the host, of the guest and of its surroundings. */
import type { Duplex } from "node:stream";
import type {
  ComputeSystemDocument,
  ComputeSystemProperties,
  CrashReport,
  HvSocketServiceConfig,
  ModifySettingRequest,
  NetworkAdapter,
  Plan9Share,
  ProcessorLimits,
  ScsiAttachment,
  SecurityPolicyFragment,
  SystemExitStatus,
  SystemPropertyType,
  VirtualPciDevice,
  VirtualSmbShare,
} from "@uvm-shim/hcs-schema";
import type { Exit } from "@uvm-shim/lifecycle";

/**
 * What creates compute systems; a `ComputeHost` of hcs-bindings does. A signal that aborts ends the wait, and what is
 * made later is ended.
 */
export interface VmHost {
  createComputeSystem(id: string, document: ComputeSystemDocument, signal?: AbortSignal): Promise<VmComputeSystem>;
}

/**
 * A compute system by its handle. All calls reject with an error whose `code` is one of lifecycle's `errorCodes`;
 * `gone` says that the system has ended.
 */
export interface VmComputeSystem {
  readonly id: string;
  readonly runtimeId: string;
  start(signal?: AbortSignal): Promise<void>;
  terminate(signal?: AbortSignal): Promise<void>;
  modify(request: ModifySettingRequest, signal?: AbortSignal): Promise<void>;
  properties(types: readonly SystemPropertyType[], signal?: AbortSignal): Promise<ComputeSystemProperties>;
  /** Bytes of host memory in use by a VM with virtual memory. */
  workingSet(signal?: AbortSignal): Promise<number>;
  /** The host's report of a crash of the guest, which comes before the exit. */
  readonly crashReport: CrashReport | undefined;
  /** Settles once with the exit, or rejects when the host service is lost or the handle closed. */
  readonly exited: Promise<SystemExitStatus>;
  listen(service: HvsocketService): Promise<VmListener>;
  close(): Promise<void>;
}

/** A vsock port, or the GUID of an hvsocket service. */
export type HvsocketService = number | string;

/** Takes the guest's connections to one service. Closing it leaves those that it has given out. */
export interface VmListener {
  accept(signal?: AbortSignal): Promise<Duplex>;
  close(): Promise<void>;
}

/** The guest at the other end of the bridge. Flavours know what else it can do. */
export interface VmGuest {
  /** Resolves when the bridge has closed, with the cause unless it was closed on purpose. */
  readonly closed: Promise<Error | undefined>;
  close(): Promise<void>;
  readonly canDumpStacks: boolean;
  dumpStacks(signal?: AbortSignal): Promise<string>;
  injectPolicyFragment(fragment: SecurityPolicyFragment, signal?: AbortSignal): Promise<void>;
}

/** What differs between VMs of Linux and of Windows guests. */
export interface VmFlavour<Guest extends VmGuest> {
  /** The services that the guest dials. */
  readonly services: { readonly log: HvsocketService; readonly bridge: HvsocketService };
  /** Absent where the guest needs no entropy from the host. */
  readonly entropy?: { readonly service: HvsocketService; readonly generate: (bytes: number) => Uint8Array };
  /** Concurrent log connections; further ones wait until one has closed. */
  readonly logConnections: number;
  /** Configures a newly connected guest before it is used. */
  readonly connected?: (guest: Guest, system: VmComputeSystem, signal: AbortSignal) => Promise<void>;
  /** Adapts the guest to a new memory size of the VM. */
  readonly memoryResized?: (guest: Guest, signal: AbortSignal) => Promise<void>;
  readonly execute: (guest: Guest, command: VmCommand, signal: AbortSignal) => Promise<VmProcess>;
  /** Reads OCI resources for a VM with this number of processors. Throws SchemaError with the field. */
  readonly readResources: (resources: unknown, processors: number) => VmResources;
}

/** Resources in the units of HCS; absent fields stay as they are. */
export interface VmResources {
  readonly memoryInMb?: number;
  readonly limits?: ProcessorLimits;
}

/** Changes of a running VM; absent fields stay as they are. */
export interface VmUpdate {
  /** OCI resources of the guest's operating system as parsed JSON, unchecked. */
  readonly resources?: unknown;
  /** `io.microsoft.virtualmachine.cpugroup.id` names the CPU group that the VM joins. */
  readonly annotations?: { readonly [key: string]: string };
  readonly policyFragment?: { readonly fragment: string; readonly mediaType?: string };
}

/** A program to run in the guest itself, outside of all containers. */
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

/** A program of the guest itself that runs. */
export interface VmProcess {
  /** Pid in the guest. */
  readonly pid: number;
  readonly stdin?: Duplex;
  readonly stdout?: Duplex;
  readonly stderr?: Duplex;
  /** Resolves with the exit code; rejects when guest or bridge is lost. */
  wait(): Promise<number>;
  /** Whether the guest still lists it. Linux guests list only processes of containers, and refuse to tell. */
  exists(abort?: AbortSignal): Promise<boolean>;
  /** Unimplemented by Linux guests, which signal and resize only processes of containers. */
  signal(signal: number, abort?: AbortSignal): Promise<void>;
  resize(height: number, width: number, abort?: AbortSignal): Promise<void>;
  /** Closes the host's ends of the stdio, which ends a process that reads or writes. Repeatable. */
  close(): Promise<void>;
}

/** Statistics of the VM, with the fields of VirtualMachineStatistics in containerd.runhcs.stats.v1. */
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

/** Negotiates with a guest that has dialled in, and returns its client. */
export type GuestConnector<Guest extends VmGuest> = (
  stream: Duplex,
  system: VmComputeSystem,
  signal: AbortSignal,
) => Promise<Guest>;

/** One line of the guest's log, parsed as far as possible. */
export interface GuestLogLine {
  readonly level: "trace" | "debug" | "info" | "warn" | "error";
  readonly message: string;
  readonly fields: { readonly [key: string]: unknown };
}

/** The status is 0 after an orderly end, else the HRESULT of the compute system, or 1 when only its loss is known. */
export interface VmExit extends Exit {
  readonly reason: string;
  readonly system?: SystemExitStatus;
  /** Present where the guest has crashed and the host reports it. */
  readonly crashReport?: CrashReport;
}

/** The host's side of the VM's devices, as the device controllers need it. */
export interface VmHostDevices {
  attachDisk(controller: number, lun: number, attachment: ScsiAttachment, signal?: AbortSignal): Promise<void>;
  detachDisk(controller: number, lun: number, signal?: AbortSignal): Promise<void>;
  addShare(share: Plan9Share, signal?: AbortSignal): Promise<void>;
  removeShare(share: Pick<Plan9Share, "Name" | "AccessName" | "Port">, signal?: AbortSignal): Promise<void>;
  addVsmbShare(share: VirtualSmbShare, signal?: AbortSignal): Promise<void>;
  updateVsmbShare(share: VirtualSmbShare, signal?: AbortSignal): Promise<void>;
  removeVsmbShare(share: Pick<VirtualSmbShare, "Name">, signal?: AbortSignal): Promise<void>;
  mapPipe(hostPipePath: string, signal?: AbortSignal): Promise<void>;
  unmapPipe(hostPipePath: string, signal?: AbortSignal): Promise<void>;
  assignDevice(vmBusGuid: string, device: VirtualPciDevice, signal?: AbortSignal): Promise<void>;
  unassignDevice(vmBusGuid: string, signal?: AbortSignal): Promise<void>;
  /** Adds or replaces a service of the VM's hvsocket table. */
  updateHvSocketService(service: string, config: HvSocketServiceConfig, signal?: AbortSignal): Promise<void>;
  addNic(nicId: string, adapter: NetworkAdapter, signal?: AbortSignal): Promise<void>;
  removeNic(nicId: string, adapter: NetworkAdapter, signal?: AbortSignal): Promise<void>;
}

/** What a device controller is made from. */
export interface DeviceWiring<Guest extends VmGuest> {
  /** Id of the VM. */
  readonly id: string;
  readonly host: VmHostDevices;
  /** FailedPrecondition while the VM does not run; the error is `gone` once the VM has ended. */
  readonly guest: () => Guest;
}

/** What a SCSI controller is made from: also the slots that the VM's document uses. */
export interface ScsiWiring<Guest extends VmGuest> extends DeviceWiring<Guest> {
  readonly controllers: number;
  /** Slots that the VM's document uses, with their disks. */
  readonly reserved: readonly {
    readonly controller: number;
    readonly lun: number;
    readonly attachment: ScsiAttachment;
  }[];
}

/** What a VSMB controller is made from: also the names that the VM's document uses. */
export interface VsmbWiring<Guest extends VmGuest> extends DeviceWiring<Guest> {
  /** Names of the shares in the VM's document. */
  readonly names: readonly string[];
}

/** Makes the device controllers, which the VM controller does not know. */
export interface VmDevices<Guest extends VmGuest, Scsi, Plan9, Vpci, Vsmb> {
  readonly scsi: (wiring: ScsiWiring<Guest>) => Scsi;
  /** Absent where the guest has no Plan9. */
  readonly plan9?: (wiring: DeviceWiring<Guest>) => Plan9;
  /** Absent where no devices are assigned. */
  readonly vpci?: (wiring: DeviceWiring<Guest>) => Vpci;
  /** Absent where the guest has no VSMB. */
  readonly vsmb?: (wiring: VsmbWiring<Guest>) => Vsmb;
}
