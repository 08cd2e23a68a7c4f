/** Requests and settings that cross to a guest in GCS messages; wire names of the GCS protocol. */
import type { SchemaVersion } from "./document.ts";
import type { OciSpec } from "./oci.ts";

export type GuestRequestType = "Add" | "Remove" | "PreAdd" | "Update";

/** Settings of a Linux guest's modify request, by resource type. */
export interface LinuxGuestResources {
  readonly MappedVirtualDisk: LinuxMappedVirtualDisk;
  readonly SCSIDevice: GuestScsiDevice;
  readonly MappedDirectory: LinuxMappedDirectory;
  readonly CombinedLayers: LinuxCombinedLayers;
  readonly VPCIDevice: LinuxVpciDevice;
}

export type LinuxGuestResourceType = keyof LinuxGuestResources;

export type LinuxGuestRequest = {
  readonly [Type in LinuxGuestResourceType]: {
    readonly ResourceType: Type;
    readonly RequestType: GuestRequestType;
    readonly Settings: LinuxGuestResources[Type];
  };
}[LinuxGuestResourceType];

export interface LinuxMappedVirtualDisk {
  readonly MountPath: string;
  readonly Controller: number;
  readonly Lun: number;
  /** 0: the whole disk. */
  readonly Partition: number;
  readonly ReadOnly: boolean;
  readonly Encrypted?: boolean;
  readonly Options?: readonly string[];
  readonly BlockDev?: boolean;
  readonly EnsureFilesystem?: boolean;
  readonly Filesystem?: string;
}

export interface GuestScsiDevice {
  readonly Controller: number;
  readonly Lun: number;
}

export interface LinuxMappedDirectory {
  readonly MountPath: string;
  readonly Port: number;
  readonly ShareName: string;
  readonly ReadOnly: boolean;
}

export interface LinuxCombinedLayers {
  readonly ContainerID: string;
  readonly ContainerRootPath: string;
  /** Mount paths of the read-only layers, topmost first. */
  readonly Layers: readonly { readonly Path: string }[];
  /** Empty: the combination is read-only. */
  readonly ScratchPath: string;
}

/** A device that the host has assigned to the VM. Adding it waits until the guest has it. */
export interface LinuxVpciDevice {
  readonly VMBusGUID: string;
}

/** The container configuration of a create message, a JSON string on the wire. */
export interface LinuxHostedContainerSettings {
  readonly SchemaVersion: SchemaVersion;
  readonly OciBundlePath: string;
  readonly OciSpecification: OciSpec;
  readonly ScratchDirPath: string;
}

/** Process parameters of an execute message, a JSON string on the wire. */
export interface LinuxProcessParameters {
  /** Absent for the container's init, whose process stands in the specification. */
  readonly OCIProcess?: NonNullable<OciSpec["process"]>;
  readonly EmulateConsole: boolean;
  readonly CreateStdInPipe: boolean;
  readonly CreateStdOutPipe: boolean;
  readonly CreateStdErrPipe: boolean;
  /** Height, width; characters. */
  readonly ConsoleSize?: readonly [number, number];
  /** For a process of the VM itself (empty container id). */
  readonly CommandArgs?: readonly string[];
  readonly WorkingDirectory?: string;
  readonly Environment?: { readonly [name: string]: string };
}
