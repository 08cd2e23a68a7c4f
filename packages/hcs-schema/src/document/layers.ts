import type { SchemaTypes } from "./schema.ts";

/** Layers of containers on the host and in the guest. */
export const layerTypes = {
  LayerData: {
    SchemaVersion: "Version 2.1",
    Layers: "Layer[] 2.1",
  },
  OsLayerOptions: {
    Type: "OsLayerType 2.1",
    DisableCiCacheOptimization: "bool 2.1",
    SkipUpdateBcdForBoot: "bool 2.5",
  },
  OsLayerType: ["Container 2.1", "Vm 2.1"],
  ExportLayerOptions: {
    IsWritableLayer: "bool 2.1",
  },
  CimMount: {
    ImagePath: "string 2.3",
    FileSystemName: "string 2.3",
    VolumeGuid: "Guid 2.3",
    MountFlags: "uint32 2.5",
  },
  CombinedLayers: {
    Layers: "Layer[] 2.0",
    ScratchPath: "string 2.0",
    ContainerRootPath: "string 2.0",
  },
  MappedVirtualDisk: {
    ContainerPath: "string 2.1",
    Lun: "uint8 2.1",
  },
} as const satisfies SchemaTypes;
