import {
  answerObject,
  anything,
  type Check,
  checkGuid,
  closedObject,
  type FieldChecks,
  filledText,
  guidPattern,
  integer,
  list,
  namesOf,
  oneOf,
  optional,
  record,
  refine,
  text,
  truth,
} from "../check.ts";
import { lunsPerScsiController, scsiControllerGuids } from "../wellknown.ts";
import {
  type Chipset,
  type ComputeSystemDocument,
  type ComputeSystemProperties,
  type ComputeTopology,
  type Devices,
  type HvSocketDevice,
  type HvSocketServiceConfig,
  type LinuxKernelDirect,
  type ModifySettingRequest,
  type NetworkAdapter,
  type Plan9Device,
  type Plan9Share,
  plan9ShareFlags,
  type SchemaVersion,
  type ScsiAttachment,
  type ScsiController,
  type StorageQoS,
  type SystemExitStatus,
  type VirtualMachine,
  type VirtualMachineMemory,
  type VirtualMachineProcessor,
  type VirtualPciDevice,
  type VirtualPciFunction,
  type VirtualSmbDevice,
  type VirtualSmbShare,
} from "./document.ts";
import { checkAttribution, checkMemoryInformation, checkSystemStatistics } from "./resource-checks.ts";
import { virtualMachineCheck } from "./virtual-machine.ts";

export { checkGuid } from "../check.ts";

const unsigned64 = integer(0);
const lun = refine(
  text,
  `a LUN from 0 to ${lunsPerScsiController - 1}`,
  (value) => /^\d{1,2}$/.test(value) && Number(value) < lunsPerScsiController && String(Number(value)) === value,
);
const controllerName = refine(
  text,
  `a GUID or a controller number from 0 to ${scsiControllerGuids.length - 1}`,
  (value) => guidPattern.test(value) || (/^\d$/.test(value) && Number(value) < scsiControllerGuids.length),
);

const knownShareFlags = Object.values(plan9ShareFlags).reduce((all, flag) => all | flag, 0);
const shareFlags = refine(
  integer(0, 0xffffffff),
  `a combination of the flags 0x${knownShareFlags.toString(16)}`,
  (value) => (value & ~knownShareFlags) === 0,
);

/** Name of a share for the 9p server, where it becomes one path component. */
const shareName = refine(
  filledText,
  "a name of at most 255 bytes without slashes, other than . and ..",
  (value) => !/[/\0]/.test(value) && value !== "." && value !== ".." && new TextEncoder().encode(value).length <= 255,
);

/** The fields of a schema version, to be put into closed objects of clients and open ones of answers. */
export const schemaVersionFields: FieldChecks<SchemaVersion> = { Major: integer(0), Minor: integer(0) };

/** A schema version as documents state it: major and minor number, both from 0 on. */
export const checkSchemaVersion: Check<SchemaVersion> = closedObject<SchemaVersion>(schemaVersionFields);

/**
 * Settings of `resourcePaths.scsi`, and an entry of a controller in a VM's document. It does not look whether the file
 * is there.
 */
export const checkScsiAttachment: Check<ScsiAttachment> = closedObject<ScsiAttachment>({
  Type: oneOf("VirtualDisk", "PassThru", "ExtensibleVirtualDisk"),
  Path: filledText,
  ReadOnly: optional(truth),
  ExtensibleVirtualDiskType: optional(text),
});

/**
 * Settings to add a Plan9 share. Its names become one path component each, so they hold neither slash nor NUL and have
 * at most 255 bytes; unknown flags are refused.
 */
export const checkPlan9Share: Check<Plan9Share> = closedObject<Plan9Share>({
  Name: shareName,
  AccessName: shareName,
  Path: filledText,
  Port: integer(1, 0xffffffff),
  Flags: shareFlags,
  AllowedFiles: optional(list(filledText)),
});

/** Settings for removing a share: its names suffice. */
export type Plan9ShareRemoval = Pick<Plan9Share, "Name" | "AccessName" | "Port"> & Partial<Plan9Share>;

/** Settings to remove a Plan9 share: name, access name and port find it, whatever else is repeated. */
export const checkPlan9ShareRemoval: Check<Plan9ShareRemoval> = closedObject<Plan9ShareRemoval>({
  Name: shareName,
  AccessName: shareName,
  Port: integer(1, 0xffffffff),
  Path: optional(text),
  Flags: optional(shareFlags),
  AllowedFiles: optional(list(text)),
});

/** Name of a VSMB share, where it becomes one part of the guest's path. */
const virtualSmbShareName = refine(
  filledText,
  "a name without slashes, other than IPC$, . and ..",
  (value) => !/[\\/\0]/.test(value) && !["IPC$", ".", ".."].includes(value.toUpperCase()),
);

const virtualSmbShareOptions = virtualMachineCheck("VirtualSmbShareOptions");

/** A share to add, or to update: as a whole, even where only its list of files is new. */
export const checkVirtualSmbShare: Check<VirtualSmbShare> = closedObject<VirtualSmbShare>({
  Name: virtualSmbShareName,
  Path: filledText,
  AllowedFiles: optional(list(filledText)),
  Options: (value, path) => virtualSmbShareOptions(value ?? {}, path),
});

/** Settings for removing a share: its name suffices. */
export type VirtualSmbShareRemoval = Pick<VirtualSmbShare, "Name"> & Partial<VirtualSmbShare>;

/** Settings to remove a VSMB share: its name finds it, whatever else is repeated. */
export const checkVirtualSmbShareRemoval: Check<VirtualSmbShareRemoval> = closedObject<VirtualSmbShareRemoval>({
  Name: virtualSmbShareName,
  Path: optional(text),
  AllowedFiles: optional(list(text)),
  Options: optional(virtualSmbShareOptions),
});

/** The index of a virtual function has 16 bits. */
export const highestVirtualFunction = 0xffff;

const virtualPciFunctions = refine(
  list(
    closedObject<VirtualPciFunction>({
      DeviceInstancePath: filledText,
      VirtualFunction: optional(integer(0, highestVirtualFunction)),
    }),
  ),
  "at least one function",
  (functions) => functions.length > 0,
);

/**
 * Settings of `resourcePaths.virtualPci`: a device with at least one function, whose virtual function is a 16-bit
 * index.
 */
export const checkVirtualPciDevice: Check<VirtualPciDevice> = closedObject<VirtualPciDevice>({
  Functions: virtualPciFunctions,
  PropagateNumaAffinity: optional(truth),
});

/**
 * Settings of `resourcePaths.networkAdapter`: the endpoint's GUID, and its MAC address unless the host is to look it
 * up.
 */
export const checkNetworkAdapter: Check<NetworkAdapter> = closedObject<NetworkAdapter>({
  EndpointId: checkGuid,
  MacAddress: optional(text),
});

/** An entry of the service table, in a document and as settings of `resourcePaths.hvSocketService`. */
export const checkHvSocketServiceConfig: Check<HvSocketServiceConfig> = closedObject<HvSocketServiceConfig>({
  BindSecurityDescriptor: optional(text),
  ConnectSecurityDescriptor: optional(text),
  AllowWildcardBinds: optional(truth),
  Disabled: optional(truth),
});

/**
 * The document that HcsCreateComputeSystem takes for a utility VM. As the service does, it refuses unknown fields, SCSI
 * controllers other than 0 to 3 or by GUID, and LUNs from 64 on.
 */
export const checkComputeSystemDocument: Check<ComputeSystemDocument> = closedObject<ComputeSystemDocument>({
  Owner: text,
  SchemaVersion: checkSchemaVersion,
  ShouldTerminateOnLastHandleClosed: optional(truth),
  VirtualMachine: closedObject<VirtualMachine>({
    Version: optional(virtualMachineCheck("Version")),
    StopOnReset: optional(truth),
    Chipset: closedObject<Chipset>({
      UseUtc: optional(truth),
      LinuxKernelDirect: optional(
        closedObject<LinuxKernelDirect>({
          KernelFilePath: filledText,
          InitRdPath: optional(filledText),
          KernelCmdLine: optional(text),
        }),
      ),
      Uefi: optional(virtualMachineCheck("Uefi")),
      FirmwareFile: optional(virtualMachineCheck("FirmwareFile")),
    }),
    ComputeTopology: closedObject<ComputeTopology>({
      Memory: closedObject<VirtualMachineMemory>({
        SizeInMB: integer(1),
        AllowOvercommit: optional(truth),
        EnableDeferredCommit: optional(truth),
        EnableHotHint: optional(truth),
        EnableColdDiscardHint: optional(truth),
        LowMmioGapInMB: optional(unsigned64),
        HighMmioBaseInMB: optional(unsigned64),
        HighMmioGapInMB: optional(unsigned64),
        SlitType: optional(virtualMachineCheck("VirtualSlitType")),
      }),
      Processor: closedObject<VirtualMachineProcessor>({
        Count: integer(1),
        Limit: optional(unsigned64),
        Weight: optional(unsigned64),
        CpuGroup: optional(virtualMachineCheck("CpuGroup")),
        NumaProcessorsSettings: optional(virtualMachineCheck("NumaProcessors")),
      }),
      Numa: optional(virtualMachineCheck("Numa")),
    }),
    Devices: optional(
      closedObject<Devices>({
        Scsi: optional(
          record(
            closedObject<ScsiController>({ Attachments: optional(record(checkScsiAttachment, lun)) }),
            controllerName,
          ),
        ),
        HvSocket: optional(
          closedObject<HvSocketDevice>({
            HvSocketConfig: optional(
              closedObject<NonNullable<HvSocketDevice["HvSocketConfig"]>>({
                DefaultBindSecurityDescriptor: optional(text),
                DefaultConnectSecurityDescriptor: optional(text),
                ServiceTable: optional(record(checkHvSocketServiceConfig, checkGuid)),
              }),
            ),
          }),
        ),
        VirtualPci: optional(record(checkVirtualPciDevice, checkGuid)),
        Plan9: optional(closedObject<Plan9Device>({ Shares: optional(list(checkPlan9Share)) })),
        VirtualSmb: optional(
          closedObject<VirtualSmbDevice>({
            Shares: optional(list(checkVirtualSmbShare)),
            DirectFileMappingInMB: optional(integer(0)),
          }),
        ),
        ComPorts: optional(record(closedObject<{ readonly NamedPipe: string }>({ NamedPipe: filledText }))),
        GuestCrashReporting: optional(virtualMachineCheck("GuestCrashReporting")),
        Keyboard: optional(virtualMachineCheck("Keyboard")),
        EnhancedModeVideo: optional(virtualMachineCheck("EnhancedModeVideo")),
        VideoMonitor: optional(virtualMachineCheck("VideoMonitor")),
      }),
    ),
    StorageQoS: optional(
      closedObject<StorageQoS>({ IopsMaximum: optional(unsigned64), BandwidthMaximum: optional(unsigned64) }),
    ),
    GuestState: optional(virtualMachineCheck("GuestState")),
    RegistryChanges: optional(virtualMachineCheck("RegistryChanges")),
    DebugOptions: optional(virtualMachineCheck("DebugOptions")),
    SecuritySettings: optional(virtualMachineCheck("SecuritySettings")),
    ResourcePartitionId: optional(checkGuid),
  }),
});

/** Checks the request without its settings, which depend on the resource path. */
export const checkModifySettingRequest: Check<ModifySettingRequest> = closedObject<ModifySettingRequest>({
  ResourcePath: filledText,
  RequestType: oneOf("Add", "Remove", "Update"),
  Settings: optional(anything),
});

/** Answer of HcsGetComputeSystemProperties about a virtual machine. Fields that later hosts add are left out. */
export const checkComputeSystemProperties = answerObject<ComputeSystemProperties>({
  Id: text,
  SystemType: oneOf("VirtualMachine"),
  Owner: text,
  RuntimeId: checkGuid,
  RuntimeOsType: optional(oneOf("Linux", "Windows", "Unknown")),
  State: oneOf("Created", "Running", "Paused", "Stopped", "SavedAsTemplate", "Unknown"),
  Memory: optional(checkMemoryInformation),
  Statistics: optional(checkSystemStatistics),
});

/** The kind of system that an entry of an enumeration describes, whatever its other fields hold. */
export const checkSystemType: Check<{ readonly SystemType?: unknown }> = namesOf(answerObject, "SystemType");

/** Data of the event HcsEventSystemExited. The status is an HRESULT, signed or unsigned. */
export const checkSystemExitStatus = answerObject<SystemExitStatus>({
  Status: integer(-0x80000000, 0xffffffff),
  ExitType: oneOf("None", "GracefulExit", "ForcedExit", "UnexpectedExit", "Unknown"),
  Attribution: optional(checkAttribution),
});
