import type { SchemaTypes } from "./schema.ts";

/** A compute system's document, and a container in it. */
export const containerTypes = {
  ComputeSystem: {
    Owner: "string 2.0",
    SchemaVersion: "Version 2.0",
    HostingSystemId: "string 2.0",
    HostedSystem: "Any 2.0",
    Container: "Container 2.0",
    VirtualMachine: "VirtualMachine 2.0",
    ShouldTerminateOnLastHandleClosed: "bool 2.0",
  },
  Container: {
    GuestOs: "GuestOs 2.0",
    Storage: "Storage 2.0",
    MappedDirectories: "MappedDirectory[] 2.0",
    MappedPipes: "MappedPipe[] 2.0",
    Memory: "Container_Memory 2.0",
    Processor: "Container_Processor 2.0",
    Networking: "Networking 2.0",
    HvSocket: "Container_HvSocket 2.0",
    ContainerCredentialGuard: "ContainerCredentialGuardState 2.1",
    RegistryChanges: "RegistryChanges 2.0",
    AssignedDevices: "Device[] 2.1",
    AdditionalDeviceNamespace: "ContainersDef_Device 2.3",
    IsolationType: "ContainerIsolationType 17763",
  },
  GuestOs: {
    HostName: "string 2.0",
  },
  Storage: {
    Layers: "Layer[] 2.0",
    Path: "string 2.0",
    QoS: "StorageQoS 2.0",
    PrivilegedContainerRootPath: "string 17763",
  },
  Layer: {
    Id: "Guid 2.0",
    Path: "string 2.0",
    PathType: "PathType 2.1",
    Cache: "CacheMode 2.0",
  },
  PathType: ["AbsolutePath 2.1", "VirtualSmbShareName 2.1"],
  CacheMode: ["Unspecified 2.0", "Disabled 2.0", "Enabled 2.0", "Private 2.0", "PrivateAllowSharing 2.0"],
  MappedDirectory: {
    HostPath: "string 2.0",
    HostPathType: "PathType 2.1",
    ContainerPath: "string 2.0",
    ReadOnly: "bool 2.0",
    SupportCloudFiles: "bool 2.3",
  },
  MappedPipe: {
    ContainerPipeName: "string 2.0",
    HostPath: "string 2.0",
    HostPathType: "MappedPipePathType 2.1",
  },
  MappedPipePathType: ["AbsolutePath 2.1", "VirtualSmbPipeName 2.1"],
  Container_Memory: {
    SizeInMB: "uint64 2.1",
  },
  Container_Processor: {
    Count: "uint32 2.0",
    Weight: "int64 2.0",
    Maximum: "int64 2.0",
  },
  Networking: {
    AllowUnqualifiedDnsQuery: "bool 2.0",
    DnsSearchList: "string 2.0",
    NetworkSharedContainerName: "string 2.0",
    Namespace: "string 2.0",
    NetworkAdapters: "Guid[] 2.0",
  },
  Container_HvSocket: {
    Config: "HvSocketSystemConfig 2.0",
    EnablePowerShellDirect: "bool 2.0",
  },
  ContainerCredentialGuardState: {
    Cookie: "string_binary 2.1",
    RpcEndpoint: "string 2.1",
    Transport: "ContainerCredentialGuardTransport 2.1",
    CredentialSpec: "string 2.1",
  },
  ContainerCredentialGuardTransport: ["LRPC 2.1", "HvSocket 2.1"],
  Device: {
    Type: "DeviceType 2.2",
    InterfaceClassGuid: "Guid 2.1",
    LocationPath: "string 2.2",
  },
  DeviceType: ["ClassGuid 2.2", "DeviceInstance 2.2", "GpuMirror 2.2"],
  ContainerIsolationType: ["HostProcess 17763"],
  HostedSystem: {
    SchemaVersion: "Version 2.0",
    Container: "Container 2.0",
  },
} as const satisfies SchemaTypes;
