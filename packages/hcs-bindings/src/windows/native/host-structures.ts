import { Structure } from "./structures.ts";

/** Structures of computedefs.h, virtdisk.h and vmcompute.dll; each union with the member that the driver uses. */
export const hostStructures = {
  HCS_EVENT: new Structure({ Type: "uint32", EventData: "pointer", Operation: "pointer" }),
  HCS_PROCESS_INFORMATION: new Structure({
    ProcessId: "uint32",
    Reserved: "uint32",
    StdInput: "pointer",
    StdOutput: "pointer",
    StdError: "pointer",
  }),
  VIRTUAL_STORAGE_TYPE: new Structure({ DeviceId: "uint32", VendorId: "guid" }),
  /** With Version2, which has PhysicalSectorSizeInBytes in the SDK's header. */
  CREATE_VIRTUAL_DISK_PARAMETERS: new Structure({
    Version: "uint32",
    // The members of the union are aligned to eight bytes.
    unionPadding: "uint32",
    UniqueId: "guid",
    MaximumSize: "uint64",
    BlockSizeInBytes: "uint32",
    SectorSizeInBytes: "uint32",
    PhysicalSectorSizeInBytes: "uint32",
    ParentPath: "pointer",
    SourcePath: "pointer",
    OpenFlags: "uint32",
    ParentDeviceId: "uint32",
    ParentVendorId: "guid",
    SourceDeviceId: "uint32",
    SourceVendorId: "guid",
    ResiliencyGuid: "guid",
  }),
  /** With Version2. */
  OPEN_VIRTUAL_DISK_PARAMETERS: new Structure({
    Version: "uint32",
    GetInfoOnly: "int32",
    ReadOnly: "int32",
    ResiliencyGuid: "guid",
  }),
  /** With Version1. */
  ATTACH_VIRTUAL_DISK_PARAMETERS: new Structure({ Version: "uint32", Reserved: "uint32" }),
  /** With Version1. */
  EXPAND_VIRTUAL_DISK_PARAMETERS: new Structure({ Version: "uint32", NewSize: "uint64" }),
  /** With UniqueIdentifier or VirtualDiskId. */
  SET_VIRTUAL_DISK_INFO: new Structure({
    Version: "uint32",
    // The members of the union are aligned to eight bytes.
    unionPadding: "uint32",
    VirtualDiskId: "guid",
    // Of the longest member of the union.
    ParentFilePath: "pointer",
  }),
  /** With Size. */
  GET_VIRTUAL_DISK_INFO: new Structure({
    Version: "uint32",
    VirtualSize: "uint64",
    PhysicalSize: "uint64",
    BlockSize: "uint32",
    SectorSize: "uint32",
  }),
  /** GET_VIRTUAL_DISK_INFO with ParentLocation, a text of variable length at its end. */
  GET_VIRTUAL_DISK_INFO_PARENT: new Structure({
    Version: "uint32",
    // The members of the union are aligned to eight bytes.
    unionPadding: "uint32",
    ParentResolved: "int32",
    ParentLocationBuffer: "uint16",
  }),
  WC_LAYER_DRIVER_INFO: new Structure({ Flavour: "uint32", HomeDir: "pointer" }),
  WC_LAYER_DESCRIPTOR: new Structure({ LayerId: "guid", Flags: "uint32", Path: "pointer" }),
} as const;
