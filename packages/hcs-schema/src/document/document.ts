/** The parts of HCS v2 documents that a utility VM uses. Field names are the wire names of the public schema. */

import type { AttributionRecord, MemoryInformation, SystemStatistics } from "./resources.ts";
import type { VirtualMachineType } from "./virtual-machine.ts";

/** Version of the schema that a document or object keeps to; utility VMs use 2.x. Source: Version of the HCS schema. */
export interface SchemaVersion {
  readonly Major: number;
  readonly Minor: number;
}

/**
 * What HcsCreateComputeSystem takes for a utility VM. `Owner` is a name of the client's own, by which enumerations can
 * be filtered; with ShouldTerminateOnLastHandleClosed the VM ends when nobody has a handle any more. Source:
 * ComputeSystem of the HCS schema.
 */
export interface ComputeSystemDocument {
  readonly Owner: string;
  readonly SchemaVersion: SchemaVersion;
  readonly ShouldTerminateOnLastHandleClosed?: boolean;
  readonly VirtualMachine: VirtualMachine;
}

/**
 * The VM of a document: what it boots from, what it has and what it may use. Source: VirtualMachine of the HCS schema.
 */
export interface VirtualMachine {
  readonly Version?: VirtualMachineType<"Version">;
  readonly StopOnReset?: boolean;
  readonly Chipset: Chipset;
  readonly ComputeTopology: ComputeTopology;
  readonly Devices?: Devices;
  readonly StorageQoS?: StorageQoS;
  readonly GuestState?: VirtualMachineType<"GuestState">;
  readonly RegistryChanges?: VirtualMachineType<"RegistryChanges">;
  readonly DebugOptions?: VirtualMachineType<"DebugOptions">;
  readonly SecuritySettings?: VirtualMachineType<"SecuritySettings">;
  readonly ResourcePartitionId?: string;
}

/**
 * Limits of a VM's disks together: operations in a second, and bytes in a second. Source: StorageQoS of the HCS schema.
 */
export interface StorageQoS {
  readonly IopsMaximum?: number;
  readonly BandwidthMaximum?: number;
}

/**
 * What a VM boots from, of which it has one: a Linux kernel, or UEFI with its boot entry, or a firmware file. `UseUtc`
 * gives the guest a clock in UTC. Source: Chipset of the HCS schema.
 */
export interface Chipset {
  readonly UseUtc?: boolean;
  readonly LinuxKernelDirect?: LinuxKernelDirect;
  readonly Uefi?: VirtualMachineType<"Uefi">;
  readonly FirmwareFile?: VirtualMachineType<"FirmwareFile">;
}

/**
 * A kernel that the host starts without firmware: paths of the host to kernel and initial RAM disk, and the kernel's
 * command line. Source: LinuxKernelDirect of the HCS schema, from 2.2 on.
 */
export interface LinuxKernelDirect {
  readonly KernelFilePath: string;
  readonly InitRdPath?: string;
  readonly KernelCmdLine?: string;
}

/** Memory and processors of a VM, and how they are spread over NUMA nodes. Source: Topology of the HCS schema. */
export interface ComputeTopology {
  readonly Memory: VirtualMachineMemory;
  readonly Processor: VirtualMachineProcessor;
  readonly Numa?: VirtualMachineType<"Numa">;
}

/**
 * A VM's memory; sizes and addresses are mebibytes. With AllowOvercommit it is backed by the host's virtual memory
 * instead of being reserved, and with EnableDeferredCommit only as the guest touches it. The hints let the guest say
 * which pages are in use (hot) and which hold nothing (cold discard). The MMIO gaps are address space for devices below
 * 4 GiB and above. Source: the memory of a virtual machine in the HCS schema.
 */
export interface VirtualMachineMemory {
  readonly SizeInMB: number;
  readonly AllowOvercommit?: boolean;
  readonly EnableDeferredCommit?: boolean;
  readonly EnableHotHint?: boolean;
  readonly EnableColdDiscardHint?: boolean;
  readonly LowMmioGapInMB?: number;
  readonly HighMmioBaseInMB?: number;
  readonly HighMmioGapInMB?: number;
  readonly SlitType?: VirtualMachineType<"VirtualSlitType">;
}

/**
 * A VM's virtual processors: their number, the limit in thousandths of a percent (1 to 100000), the weight relative to
 * other VMs (1 to 10000). Source: the processor of a virtual machine in the HCS schema.
 */
export interface VirtualMachineProcessor {
  readonly Count: number;
  readonly Limit?: number;
  readonly Weight?: number;
  readonly CpuGroup?: VirtualMachineType<"CpuGroup">;
  readonly NumaProcessorsSettings?: VirtualMachineType<"NumaProcessors">;
}

/**
 * The virtual devices that a VM starts with. Those with a GUID or number as name can come and go while it runs, by the
 * paths of `resourcePaths`. Source: Devices of the HCS schema.
 */
export interface Devices {
  readonly Scsi?: { readonly [controllerGuid: string]: ScsiController };
  readonly HvSocket?: HvSocketDevice;
  readonly Plan9?: Plan9Device;
  readonly VirtualSmb?: VirtualSmbDevice;
  readonly VirtualPci?: { readonly [vmBusGuid: string]: VirtualPciDevice };
  readonly ComPorts?: { readonly [port: string]: { readonly NamedPipe: string } };
  readonly GuestCrashReporting?: VirtualMachineType<"GuestCrashReporting">;
  readonly Keyboard?: VirtualMachineType<"Keyboard">;
  readonly EnhancedModeVideo?: VirtualMachineType<"EnhancedModeVideo">;
  readonly VideoMonitor?: VirtualMachineType<"VideoMonitor">;
}

/** A SCSI controller with its disks, by LUN from "0" to "63". Source: Scsi of the HCS schema. */
export interface ScsiController {
  readonly Attachments?: { readonly [lun: string]: ScsiAttachment };
}

/**
 * What is behind a LUN: a VHD or VHDX file, a disk of the host as it is, or a disk that a driver of the host provides.
 * Source: the enumeration AttachmentType of the HCS schema.
 */
export type ScsiAttachmentType = "VirtualDisk" | "PassThru" | "ExtensibleVirtualDisk";

/**
 * A disk at a LUN. `Path` is a file of the host, a device path for PassThru, or what the driver that
 * ExtensibleVirtualDiskType names takes as a path. Source: Attachment of the HCS schema.
 */
export interface ScsiAttachment {
  readonly Type: ScsiAttachmentType;
  readonly Path: string;
  readonly ReadOnly?: boolean;
  readonly ExtensibleVirtualDiskType?: string;
}

/**
 * Who on the host may listen for a VM and dial it over hvsocket: defaults for all services and a table by the service's
 * GUID. Source: HvSocket2 of the HCS schema.
 */
export interface HvSocketDevice {
  readonly HvSocketConfig?: {
    readonly DefaultBindSecurityDescriptor?: string;
    readonly DefaultConnectSecurityDescriptor?: string;
    readonly ServiceTable?: { readonly [serviceGuid: string]: HvSocketServiceConfig };
  };
}

/**
 * Rules of one hvsocket service of a VM. Security descriptors are in SDDL (`D:P(A;;FA;;;SY)`). With AllowWildcardBinds
 * a listener for all VMs serves this one too; with Disabled nobody does. Source: HvSocketServiceConfig of the HCS
 * schema.
 */
export interface HvSocketServiceConfig {
  readonly BindSecurityDescriptor?: string;
  readonly ConnectSecurityDescriptor?: string;
  readonly AllowWildcardBinds?: boolean;
  readonly Disabled?: boolean;
}

/** The Plan9 shares that a VM starts with. Source: Plan9 of the HCS schema. */
export interface Plan9Device {
  readonly Shares?: readonly Plan9Share[];
}

/** A NIC of the VM, which connects it to an HCN endpoint. */
export interface NetworkAdapter {
  readonly EndpointId: string;
  /** That of the endpoint. */
  readonly MacAddress?: string;
}

/** Flags of a Plan9 share, a bit set. */
export const plan9ShareFlags = {
  readOnly: 0x1,
  linuxMetadata: 0x4,
  caseSensitive: 0x8,
  useShareRootIdentity: 0x10,
  allowOptions: 0x20,
  allowSubPaths: 0x40,
  restrictFileAccess: 0x80,
} as const;

/**
 * A folder of the host that a Linux guest mounts over 9p. `Name` identifies it to the host, `AccessName` is the aname
 * by which the guest mounts it, `Path` is the host's. Flags are bits of `plan9ShareFlags`; with restrictFileAccess only
 * the AllowedFiles can be reached. Source: Plan9Share of the HCS schema.
 */
export interface Plan9Share {
  readonly Name: string;
  readonly AccessName: string;
  readonly Path: string;
  /** TCP-like port of the 9p server inside the VM's hvsocket; LCOW uses 564. */
  readonly Port: number;
  readonly Flags: number;
  readonly AllowedFiles?: readonly string[];
}

/** The VSMB shares that a VM starts with, for Windows guests only. Source: VirtualSmb of the HCS schema. */
export interface VirtualSmbDevice {
  readonly Shares?: readonly VirtualSmbShare[];
  /** Address space of the guest for files that it maps directly. */
  readonly DirectFileMappingInMB?: number;
}

/** What a share of a Windows guest allows; absent: no. */
export type VirtualSmbShareOptions = VirtualMachineType<"VirtualSmbShareOptions">;

/** A directory of the host that a Windows guest reaches over VSMB. */
export interface VirtualSmbShare {
  readonly Name: string;
  readonly Path: string;
  /** Full host paths of the files that a restricted share allows. */
  readonly AllowedFiles?: readonly string[];
  readonly Options: VirtualSmbShareOptions;
}

/** A device of the host that is assigned to the VM, under the GUID of the VMBus channel that carries it. */
export interface VirtualPciDevice {
  readonly Functions: readonly VirtualPciFunction[];
  /** Tells the guest which NUMA node is closest to the device. From Windows Server 2025 on. */
  readonly PropagateNumaAffinity?: boolean;
}

/**
 * A function of an assigned device: the whole device, or one of its SR-IOV virtual functions. Source:
 * VirtualPciFunction of the HCS schema.
 */
export interface VirtualPciFunction {
  /** As the host's device manager names it: `PCIP\\VEN_…`. */
  readonly DeviceInstancePath: string;
  /** Index of the SR-IOV virtual function; absent: 0. */
  readonly VirtualFunction?: number;
}

/** What a modify request does with the resource at its path. Source: ModifyRequestType of the HCS schema. */
export type ModifyRequestType = "Add" | "Remove" | "Update";

/** One HcsModifyComputeSystem request. `GuestRequest` is not used: guest changes go over the GCS bridge. */
export interface ModifySettingRequest {
  readonly ResourcePath: string;
  readonly RequestType: ModifyRequestType;
  readonly Settings?: unknown;
}

/** Resource paths of ModifySettingRequest. */
export const resourcePaths = {
  /** Settings: ScsiAttachment. The controller is named by its well-known GUID. */
  scsi: (controllerGuid: string, lun: number): string =>
    `VirtualMachine/Devices/Scsi/${controllerGuid}/Attachments/${lun}`,
  /** Settings: Plan9Share. */
  plan9Shares: "VirtualMachine/Devices/Plan9/Shares",
  /** Settings: VirtualSmbShare; its name alone to remove it. */
  virtualSmbShares: "VirtualMachine/Devices/VirtualSmb/Shares",
  /** No settings. A named pipe of the host, which a Windows guest opens in the VSMB share IPC$. */
  mappedPipe: (hostPipePath: string): string => `VirtualMachine/Devices/MappedPipes/${hostPipePath}`,
  /**
   * Settings: HvSocketServiceConfig to update the entry of a service, which need not exist yet; none to remove it. The
   * table belongs to a running VM.
   */
  hvSocketService: (serviceGuid: string): string =>
    `VirtualMachine/Devices/HvSocket/HvSocketConfig/ServiceTable/${serviceGuid}`,
  /** Settings: VirtualPciDevice. */
  virtualPci: (vmBusGuid: string): string => `VirtualMachine/Devices/VirtualPci/${vmBusGuid}`,
  /** Settings: NetworkAdapter. The caller chooses the NIC's GUID, by which the guest finds it. */
  networkAdapter: (nicId: string): string => `VirtualMachine/Devices/NetworkAdapters/${nicId}`,
  /** Settings: the size as a number, in mebibytes. */
  memorySize: "VirtualMachine/ComputeTopology/Memory/SizeInMB",
  /** Settings: ProcessorLimits. */
  processorLimits: "VirtualMachine/ComputeTopology/Processor/Limits",
  /** Settings: CpuGroup. */
  cpuGroup: "VirtualMachine/ComputeTopology/Processor/CpuGroup",
} as const;

/** Properties that a query of a compute system returns. */
export interface ComputeSystemProperties {
  readonly Id: string;
  readonly SystemType: "VirtualMachine";
  readonly Owner: string;
  readonly RuntimeId: string;
  /** Absent if the service does not know, as for systems that other clients created. */
  readonly RuntimeOsType?: "Linux" | "Windows" | "Unknown";
  readonly State: "Created" | "Running" | "Paused" | "Stopped" | "SavedAsTemplate" | "Unknown";
  /** If the query asked for "Memory". */
  readonly Memory?: MemoryInformation;
  /** If the query asked for "Statistics". */
  readonly Statistics?: SystemStatistics;
}

/** Contents of the SystemExited event, and what a crash adds to it. */
export interface SystemExitStatus {
  /** HRESULT of the exit, 0 when orderly. */
  readonly Status: number;
  readonly ExitType: "None" | "GracefulExit" | "ForcedExit" | "UnexpectedExit" | "Unknown";
  readonly Attribution?: readonly AttributionRecord[];
}
