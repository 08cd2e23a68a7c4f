import type { SchemaTypes } from "./schema.ts";

/** The compute service itself: queries, processors, CPU groups, credential guards. */
export const serviceTypes = {
  ServiceProperties: {
    Properties: "Any[] 2.1",
    PropertyResponses: "{PropertyResponse} 2.5",
  },
  PropertyResponse: {
    Error: "ResultError 2.5",
    Response: "Any 2.5",
  },
  Service_PropertyQuery: {
    PropertyTypes: "GetPropertyType[] 2.1",
    PropertyQueries: "{Any} 2.5",
  },
  GetPropertyType: [
    "Basic 2.1",
    "CpuGroup 2.1",
    "ProcessorTopology 2.1",
    "ContainerCredentialGuard 2.1",
    "QoSCapabilities 2.1",
  ],
  BasicInformation: {
    SupportedSchemaVersions: "Version[] 2.1",
  },
  CpuGroupConfigurations: {
    CpuGroups: "CpuGroupConfig[] 2.1",
  },
  CpuGroupConfig: {
    GroupId: "Guid 2.1",
    Affinity: "CpuGroupAffinity 2.1",
    GroupProperties: "CpuGroupProperty[] 2.1",
    HypervisorGroupId: "uint64 2.5",
  },
  CpuGroupAffinity: {
    LogicalProcessorCount: "uint32 2.1",
    LogicalProcessors: "uint32[] 2.1",
  },
  CpuGroupProperty: {
    PropertyCode: "uint32 2.1",
    PropertyValue: "uint64 2.1",
  },
  CreateGroupOperation: {
    GroupId: "Guid 2.1",
    LogicalProcessorCount: "uint32 2.1",
    LogicalProcessors: "uint32[] 2.1",
  },
  DeleteGroupOperation: {
    GroupId: "Guid 2.1",
  },
  SetPropertyOperation: {
    GroupId: "Guid 2.1",
    PropertyCode: "uint32 2.1",
    PropertyValue: "uint64 2.1",
  },
  HostProcessorModificationRequest: {
    Operation: "ModifyServiceOperation 2.1",
    OperationDetails: "Any 2.1",
  },
  ModifyServiceOperation: ["CreateGroup 2.1", "DeleteGroup 2.1", "SetProperty 2.1"],
  IdleProcessorsRequest: {
    IdleProcessorCount: "uint32 2.3",
  },
  ModificationRequest: {
    PropertyType: "ModifyPropertyType 2.1",
    Settings: "Any 2.1",
  },
  ModifyPropertyType: ["CpuGroup 2.1", "ContainerCredentialGuard 2.1"],
  ProcessorCapabilitiesInfo: {
    ProcessorFeatures: "ProcessorFeature[] 2.5",
    XsaveProcessorFeatures: "XsaveProcessorFeature[] 2.5",
    CacheLineFlushSize: "uint64 2.5",
    ImplementedPhysicalAddressBits: "uint64 2.5",
    NonArchitecturalCoreSharing: "NonArchitecturalCoreSharing 2.5",
  },
  NonArchitecturalCoreSharing: ["Unreported 2.5", "Off 2.5", "On 2.5"],
  ProcessorTopology: {
    LogicalProcessorCount: "uint32 2.1",
    LogicalProcessors: "LogicalProcessor[] 2.1",
  },
  LogicalProcessor: {
    LpIndex: "uint32 2.1",
    NodeNumber: "uint8 2.1",
    PackageId: "uint32 2.1",
    CoreId: "uint32 2.1",
    RootVpIndex: "int32 2.1",
    Subnodes: "Subnode[] 2.4",
  },
  Subnode: {
    Type: "SubnodeType 2.4",
    Id: "uint64 2.4",
  },
  SubnodeType: ["Any 2.4", "Socket 2.4", "Cluster 2.4", "L3 2.4"],
  QoSCapabilities: {
    ProcessorQoSSupported: "bool 2.1",
  },
  VmProcessorRequirements: {
    ProcessorFeatures: "ProcessorFeature[] 2.5",
    XsaveProcessorFeatures: "XsaveProcessorFeature[] 2.5",
    CacheLineFlushSize: "uint64 2.5",
    ImplementedPhysicalAddressBits: "uint64 2.5",
    NonArchitecturalCoreSharing: "NonArchitecturalCoreSharing 2.5",
  },
  SystemProcessorModificationRequest: {
    GroupId: "Guid 2.1",
  },
  NumaNode: {
    VirtualNodeIndex: "uint32 26100",
    PhysicalNodeIndex: "uint32 26100",
  },
  NumaNodeMemory: {
    TotalConsumableMemoryInPages: "uint64 26100",
    AvailableMemoryInPages: "uint64 26100",
  },
  NumaNodeProcessor: {
    TotalAssignedProcessors: "uint32 26100",
    TotalAvailableProcessors: "uint32 26100",
  },
  CacheQueryStatsResponse: {
    L3OccupancyBytes: "int32 17763",
    L3TotalBwBytes: "int32 17763",
    L3LocalBwBytes: "int32 17763",
  },
  ContainerCredentialGuardAddInstanceRequest: {
    Id: "string 2.1",
    CredentialSpec: "string 2.1",
    Transport: "ContainerCredentialGuardTransport 2.1",
  },
  ContainerCredentialGuardOperationRequest: {
    Operation: "ContainerCredentialGuardModifyOperation 2.1",
    OperationDetails: "Any 2.1",
  },
  ContainerCredentialGuardModifyOperation: ["AddInstance 2.1", "RemoveInstance 2.1"],
  ContainerCredentialGuardRemoveInstanceRequest: {
    Id: "string 2.1",
  },
  ContainerCredentialGuardSystemInfo: {
    Instances: "ContainerCredentialGuardInstance[] 2.1",
  },
  ContainerCredentialGuardInstance: {
    Id: "string 2.1",
    CredentialGuard: "ContainerCredentialGuardState 2.1",
    HvSocketConfig: "ContainerCredentialGuardHvSocketServiceConfig 2.1",
  },
  ContainerCredentialGuardHvSocketServiceConfig: {
    ServiceId: "Guid 2.1",
    ServiceConfig: "HvSocketServiceConfig 2.1",
  },
} as const satisfies SchemaTypes;
