/** The parts of HCS v2 documents that a utility VM uses. Field names are the wire names of the public schema. */

import type { AttributionRecord, MemoryInformation, SystemStatistics } from "./resources.ts";
import type { VirtualMachineType } from "./virtual-machine.ts";

export interface SchemaVersion {
  readonly Major: number;
  readonly Minor: number;
}

export interface ComputeSystemDocument {
  readonly Owner: string;
  readonly SchemaVersion: SchemaVersion;
  readonly ShouldTerminateOnLastHandleClosed?: boolean;
  readonly VirtualMachine: VirtualMachine;
}

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

export interface StorageQoS {
  readonly IopsMaximum?: number;
  readonly BandwidthMaximum?: number;
}

export interface Chipset {
  readonly UseUtc?: boolean;
  readonly LinuxKernelDirect?: LinuxKernelDirect;
  readonly Uefi?: VirtualMachineType<"Uefi">;
  readonly FirmwareFile?: VirtualMachineType<"FirmwareFile">;
}

export interface LinuxKernelDirect {
  readonly KernelFilePath: string;
  readonly InitRdPath?: string;
  readonly KernelCmdLine?: string;
}

export interface ComputeTopology {
  readonly Memory: VirtualMachineMemory;
  readonly Processor: VirtualMachineProcessor;
  readonly Numa?: VirtualMachineType<"Numa">;
}

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

export interface VirtualMachineProcessor {
  readonly Count: number;
  readonly Limit?: number;
  readonly Weight?: number;
  readonly CpuGroup?: VirtualMachineType<"CpuGroup">;
  readonly NumaProcessorsSettings?: VirtualMachineType<"NumaProcessors">;
}

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

export interface ScsiController {
  readonly Attachments?: { readonly [lun: string]: ScsiAttachment };
}

export type ScsiAttachmentType = "VirtualDisk" | "PassThru" | "ExtensibleVirtualDisk";

export interface ScsiAttachment {
  readonly Type: ScsiAttachmentType;
  readonly Path: string;
  readonly ReadOnly?: boolean;
  readonly ExtensibleVirtualDiskType?: string;
}

export interface HvSocketDevice {
  readonly HvSocketConfig?: {
    readonly DefaultBindSecurityDescriptor?: string;
    readonly DefaultConnectSecurityDescriptor?: string;
    readonly ServiceTable?: { readonly [serviceGuid: string]: HvSocketServiceConfig };
  };
}

export interface HvSocketServiceConfig {
  readonly BindSecurityDescriptor?: string;
  readonly ConnectSecurityDescriptor?: string;
  readonly AllowWildcardBinds?: boolean;
  readonly Disabled?: boolean;
}

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

export interface Plan9Share {
  readonly Name: string;
  readonly AccessName: string;
  readonly Path: string;
  /** TCP-like port of the 9p server inside the VM's hvsocket; LCOW uses 564. */
  readonly Port: number;
  readonly Flags: number;
  readonly AllowedFiles?: readonly string[];
}

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

export interface VirtualPciFunction {
  /** As the host's device manager names it: `PCIP\\VEN_…`. */
  readonly DeviceInstancePath: string;
  /** Index of the SR-IOV virtual function; absent: 0. */
  readonly VirtualFunction?: number;
}

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
