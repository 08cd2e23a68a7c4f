import type { SchemaTypes } from "./schema.ts";

/** Requests to a running compute system. */
export const requestTypes = {
  ModifySettingRequest: {
    ResourcePath: "string 2.1",
    RequestType: "ModifyRequestType 2.0",
    Settings: "Any 2.0",
    GuestRequest: "Any 2.1",
  },
  ModifyRequestType: ["Add 2.0", "Remove 2.0", "Update 2.0"],
  GuestModifySettingRequest: {
    ResourceType: "ModifyResourceType 2.1",
    RequestType: "ModifyRequestType 2.1",
    Settings: "Any 2.1",
  },
  ModifyResourceType: [
    "Memory 2.0",
    "MappedDirectory 2.0",
    "MappedPipe 2.0",
    "MappedVirtualDisk 2.0",
    "CombinedLayers 2.0",
    "NetworkNamespace 2.1",
    "CimMount 2.3",
  ],
  PauseOptions: {
    SuspensionLevel: "PauseSuspensionLevel 2.0",
    HostedNotification: "PauseNotification 2.1",
  },
  PauseSuspensionLevel: ["Suspend 2.0", "MemoryLow 2.0", "MemoryMedium 2.0", "MemoryHigh 2.0"],
  PauseNotification: {
    Reason: "PauseReason 2.1",
  },
  PauseReason: ["None 2.1", "Save 2.1", "Template 2.1"],
  SaveOptions: {
    SaveType: "SaveType 2.1",
    SaveStateFilePath: "string 2.1",
  },
  SaveType: ["ToFile 2.1", "AsTemplate 2.1"],
  ShutdownOptions: {
    Mechanism: "ShutdownMechanism 2.5",
    Type: "ShutdownType 2.5",
    Force: "bool 2.5",
    Reason: "string 2.5",
  },
  ShutdownMechanism: ["GuestConnection 2.5", "IntegrationService 2.5"],
  ShutdownType: ["Shutdown 2.5", "Hibernate 2.5", "Reboot 2.5"],
  CrashOptions: {
    Type: "CrashType 2.3",
  },
  CrashType: ["CrashGuest 2.3"],
  EnlightenmentModifications: ["Unreported 2.5", "FavorAutoEoi 2.5", "RsvdZ1 2.5"],
  GpuAssignmentMode: ["Disabled 2.0", "Default 2.0", "List 2.0", "Mirror 2.0"],
  KvpSource: ["KvpSetByHost 2.5", "KvpSetByGuest 2.5", "GuestOSInfo 2.5"],
  ConsoleImage: {
    Image: "ByteArray 2.5",
  },
  ConsoleImageQuery: {
    Width: "uint16 2.5",
    Height: "uint16 2.5",
    Flags: "uint32 2.5",
  },
  GpuConfiguration: {
    AssignmentMode: "GpuAssignmentMode 2.0",
    AssignmentRequest: "{uint16} 2.0",
    AllowVendorExtension: "bool 2.0",
  },
  HvSocketAddress: {
    LocalAddress: "Guid 2.1",
    ParentAddress: "Guid 2.1",
  },
  KvpQuery: {
    Source: "KvpSource 2.5",
    Keys: "string[] 2.5",
  },
  ProcessorLimits: {
    Limit: "uint64 2.4",
    Weight: "uint64 2.4",
    Reservation: "uint64 2.4",
    MaximumFrequencyMHz: "uint32 2.4",
  },
  RegistryFlushState: {
    Enabled: "bool 2.1",
  },
  SystemTime: {
    Year: "uint16 2.1",
    Month: "uint16 2.1",
    DayOfWeek: "uint16 2.1",
    Day: "uint16 2.1",
    Hour: "uint16 2.1",
    Minute: "uint16 2.1",
    Second: "uint16 2.1",
    Milliseconds: "uint16 2.1",
  },
  TimeZoneInformation: {
    Bias: "int32 2.1",
    StandardName: "string 2.1",
    StandardDate: "SystemTime 2.1",
    StandardBias: "int32 2.1",
    DaylightName: "string 2.1",
    DaylightDate: "SystemTime 2.1",
    DaylightBias: "int32 2.1",
  },
} as const satisfies SchemaTypes;
