import type { SchemaTypes } from "./schema.ts";

/** Object namespaces of Windows containers. */
export const namespaceTypes = {
  Namespace: {
    job: "JobNamespace 2.3",
    filesystem: "FilesystemNamespace 2.3",
    mountmgr: "MountManagerNamespace 2.3",
    namedpipe: "NamedPipeNamespace 2.3",
    ob: "ObjectNamespace 2.3",
    registry: "RegistryNamespace 2.3",
    network: "NetworkNamespace 2.3",
    device: "DeviceNamespace 2.3",
    hostfiles: "HostFiles 2.3",
  },
  JobNamespace: {
    cpu: "JobCpu 2.3",
    memory: "JobMemory 2.3",
    systemroot: "JobSystemRoot 2.3",
    terminationpolicy: "JobTerminationPolicy 2.3",
    threadimpersonation: "bool 2.3",
  },
  JobCpu: {
    rate: "uint32 2.3",
    weight: "uint32 2.3",
  },
  JobMemory: {
    limit: "uint64 2.3",
  },
  JobSystemRoot: {
    path: "string 2.3",
  },
  JobTerminationPolicy: ["PermanentQuiescent 2.3", "KillOnHandleClose 2.3"],
  FilesystemNamespace: {
    path: "string 2.3",
    isolation: "FilesystemIsolationMode 2.3",
    nesting: "FilesystemNestingMode 2.3",
    layer: "FilesystemLayer[] 2.3",
    bindings: "ContainersDef_BatchedBinding[] 2.3",
  },
  FilesystemIsolationMode: ["hard 2.3", "soft 2.3"],
  FilesystemNestingMode: ["inner 2.3", "outer 2.3"],
  FilesystemLayer: {
    identifier: "Guid 2.3",
    path: "string 2.3",
  },
  ContainersDef_BatchedBinding: {
    filepath: "string 2.3",
    bindingroots: "string[] 2.3",
  },
  MountManagerNamespace: {
    mount_point: "MountManagerMountPoint[] 2.3",
  },
  MountManagerMountPoint: {
    name: "string 2.3",
    path: "string 2.3",
  },
  NamedPipeNamespace: {
    symlink: "NamedPipeSymlink[] 2.3",
  },
  NamedPipeSymlink: {
    name: "string 2.3",
    path: "string 2.3",
  },
  ObjectNamespace: {
    shadow: "ObjectDirectoryShadow 2.3",
    symlink: "ObjectSymlink[] 2.3",
    objdir: "ObjectDirectory[] 2.3",
  },
  ObjectDirectoryShadow: ["false 2.3", "true 2.3", "ifexists 2.3"],
  ObjectSymlink: {
    name: "string 2.3",
    path: "string 2.3",
    scope: "ObjectSymlinkScope 2.3",
    pathtoclone: "string 2.3",
    access_mask: "uint32 2.3",
  },
  ObjectSymlinkScope: ["Local 2.3", "Global 2.3", "GlobalDropSilo 2.3"],
  ObjectDirectory: {
    name: "string 2.3",
    clonesd: "string 2.3",
    shadow: "ObjectDirectoryShadow 2.3",
    symlink: "ObjectSymlink[] 2.3",
    objdir: "ObjectDirectory[] 2.3",
  },
  RegistryNamespace: {
    symlink: "RegistrySymlink[] 2.3",
    redirectionnode: "RegistryRedirectionNode[] 2.3",
    hivestack: "RegistryHiveStack[] 2.3",
  },
  RegistrySymlink: {
    key: "string 2.3",
    target: "string 2.3",
  },
  RegistryRedirectionNode: {
    containerpath: "string 2.3",
    hostpath: "string 2.3",
    hivestack: "string 2.3",
    access_mask: "uint32 2.3",
    trustedhive: "bool 2.3",
    exitnode: "bool 2.3",
  },
  RegistryHiveStack: {
    hive: "string 2.3",
    layer: "RegistryLayer[] 2.3",
    mkkey: "RegistryMakeKey[] 2.3",
    delkey: "RegistryDeleteKey[] 2.3",
  },
  RegistryLayer: {
    hosthive: "string 2.3",
    filepath: "string 2.3",
    identifier: "Guid 2.3",
    readonly: "bool 2.3",
    immutable: "bool 2.3",
    inherittrustclass: "bool 2.3",
    trustedhive: "bool 2.0",
    writethrough: "bool 2.3",
    fileaccesstoken: "uint64 2.3",
  },
  RegistryMakeKey: {
    name: "string 2.3",
    clonesd: "string 2.3",
    mkkey: "RegistryMakeKey[] 2.3",
    mkvalue: "RegistryMakeValue[] 2.3",
    volatile: "bool 2.3",
  },
  RegistryMakeValue: {
    name: "string 2.3",
    data_multistring: "string 2.3",
    data_dword: "uint32 2.3",
    data_string: "string 2.3",
    data_binary: "NullableByteArray 2.3",
  },
  RegistryDeleteKey: {
    name: "string 2.3",
  },
  NetworkNamespace: {
    compartment: "string 2.3",
  },
  DeviceNamespace: {
    requires_driverstore: "bool 2.3",
    device_category: "DeviceCategory[] 2.3",
    device_instance: "DeviceInstance[] 2.3",
  },
  DeviceCategory: {
    name: "string 2.3",
    interface_class: "InterfaceClass[] 2.3",
  },
  InterfaceClass: {
    type: "InterfaceClassType 2.3",
    identifier: "Guid 2.3",
    recurse: "bool 2.3",
  },
  InterfaceClassType: ["Inherit 2.3", "DeviceInstance 2.3", "ClassGuid 2.3"],
  DeviceInstance: {
    id: "string 2.3",
    location_path: "string 2.3",
    port_name: "string 2.3",
    interface_class: "InterfaceClass[] 2.3",
  },
  HostFiles: {
    base_image_path: "string 2.3",
    sandbox_path: "string 2.3",
    file: "string[] 2.3",
  },
  ContainersDef_Container: {
    namespace: "Namespace 2.3",
  },
  DeviceExtension: {
    device_category: "DeviceCategory 2.3",
    namespace: "Namespace 2.3",
  },
  ContainersDef_Device: {
    device_extension: "DeviceExtension[] 2.3",
  },
} as const satisfies SchemaTypes;
