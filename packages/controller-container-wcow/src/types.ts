/** What the controller of a Windows container needs of the VM's devices, of the guest and of the host. */
import type {
  ContainerProcess as CommonProcess,
  ProcessFactory as CommonProcessFactory,
  MappedDevice,
} from "@uvm-shim/container-common";
import type { GuestProcess, ProcessGuest, WindowsProcessDescription } from "@uvm-shim/controller-process";
import type {
  CredentialGuardInstance,
  HvSocketServiceConfig,
  WindowsBlockCims,
  WindowsCombinedLayers,
  WindowsConfidentialLayers,
  WindowsContainerChange,
  WindowsContainerStatistics,
  WindowsProcessDetails,
  WindowsProcessParameters,
} from "@uvm-shim/hcs-schema";

/** Satisfied by guest-wcow. */
export interface ContainerGuest {
  addCombinedLayers(layers: WindowsCombinedLayers, signal?: AbortSignal): Promise<void>;
  removeCombinedLayers(layers: Pick<WindowsCombinedLayers, "ContainerRootPath">, signal?: AbortSignal): Promise<void>;
  /** The same in a confidential VM, whose policy names the container. */
  addConfidentialLayers(layers: WindowsConfidentialLayers, signal?: AbortSignal): Promise<void>;
  removeConfidentialLayers(layers: WindowsConfidentialLayers, signal?: AbortSignal): Promise<void>;
  mountBlockCims(cims: WindowsBlockCims, signal?: AbortSignal): Promise<void>;
  unmountBlockCims(cims: Pick<WindowsBlockCims, "VolumeGUID">, signal?: AbortSignal): Promise<void>;
  /** Runs a program of the VM itself. After a rejection no process is left running. */
  execute(parameters: WindowsProcessParameters, signal?: AbortSignal): Promise<WindowsGuestProcess>;
  /** After a rejection the guest has no container with this id, or removes it itself. */
  createContainer(id: string, settings: object, signal?: AbortSignal): Promise<GuestContainer>;
}

/** A process of a Windows guest, which takes signals by number or name. */
export type WindowsGuestProcess = GuestProcess<number | string>;

/** A container of the guest. It outlives its init process. */
export interface GuestContainer {
  readonly id: string;
  /** Resolves when the guest reports that the container has ended. */
  readonly exited: Promise<unknown>;
  start(signal?: AbortSignal): Promise<void>;
  /** After a rejection no process is left running. */
  execute(parameters: WindowsProcessParameters, signal?: AbortSignal): Promise<WindowsGuestProcess>;
  processes(signal?: AbortSignal): Promise<readonly WindowsProcessDetails[]>;
  statistics(signal?: AbortSignal): Promise<WindowsContainerStatistics>;
  /** By this id the host leads hvsockets to the container. */
  systemGuid(signal?: AbortSignal): Promise<string>;
  modify(change: WindowsContainerChange, signal?: AbortSignal): Promise<void>;
  /** Asks it to end, which `exited` tells; it may never do so. Unknown counts as done. */
  shutdown(signal?: AbortSignal): Promise<void>;
  /** Ends it; `exited` tells when it has ended. Unknown counts as done. */
  terminate(signal?: AbortSignal): Promise<void>;
  deleteState(signal?: AbortSignal): Promise<void>;
}

/** Disks; satisfied by controller-scsi. */
export interface ContainerDisks extends MappedDevice {
  reserve(disk: DiskConfig, mount: DiskMountConfig): Promise<string>;
}

/** A disk as the host knows it. */
export interface DiskConfig {
  readonly hostPath: string;
  readonly readOnly: boolean;
  readonly type: "VirtualDisk" | "PassThru" | "ExtensibleVirtualDisk";
  /** Name of the provider of an ExtensibleVirtualDisk. */
  readonly extensibleVirtualDiskType?: string;
}

/** How the guest mounts a disk. */
export interface DiskMountConfig {
  readonly readOnly: boolean;
  /** Formats it as a container's scratch disk first. */
  readonly formatScratch?: boolean;
}

/** Directories and files of the host; satisfied by controller-vsmb. */
export interface ContainerShares extends MappedDevice {
  reserve(share: ShareConfig): Promise<string>;
}

/** A directory or a file of the host to be shared with the guest. */
export interface ShareConfig {
  readonly hostPath: string;
  readonly kind: "directory" | "file";
  readonly readOnly: boolean;
  /** Opens files in spite of their access control lists, as layers need it. */
  readonly takeBackupPrivilege?: boolean;
}

/** Named pipes of the host; satisfied by controller-vsmb. */
export interface ContainerPipes extends MappedDevice {
  reserve(hostPath: string): Promise<string>;
}

/** Assigned devices of the host; satisfied by controller-vpci. `mapToGuest` returns the device's VMBus GUID. */
export interface ContainerDevices extends MappedDevice {
  reserve(device: DeviceConfig): Promise<string>;
}

/** A device of the host, or a virtual function of one, to be assigned to the VM. */
export interface DeviceConfig {
  readonly deviceInstancePath: string;
  readonly virtualFunction: number;
}

/** Layers in block CIMs; satisfied by `BlockCimController`. `mapToGuest` returns the GUID of their volume. */
export interface ContainerCims extends MappedDevice {
  reserve(cims: CimConfig): Promise<string>;
}

/** The images that a container's layers are in. */
export interface CimConfig {
  /** The merged one first, if there are several; then topmost to base. */
  readonly cims: readonly BlockCimConfig[];
  /** The container that is the first to use them, for the guest's policy. */
  readonly containerId: string;
}

/** An image, and the disk that it is in. */
export interface BlockCimConfig {
  readonly hostPath: string;
  readonly type: "VirtualDisk" | "PassThru";
  readonly cimName: string;
}

/** The pod's VM, on the host. */
export interface ContainerVm {
  /** By this id the host leads hvsockets into the VM. */
  readonly runtimeId: string;
  grantVmAccess(path: string, signal?: AbortSignal): Promise<void>;
  /** Adds or replaces a service of the VM's hvsocket table. */
  updateHvSocketService(service: string, config: HvSocketServiceConfig, signal?: AbortSignal): Promise<void>;
}

/** What Windows has for containers beside virtual machines; satisfied by hcs-bindings. */
export interface ContainerHostServices {
  /** GUID that the host gives to a layer by the last component of its path. */
  layerId(name: string, signal?: AbortSignal): Promise<string>;
  /** Makes `sandbox.vhdx` in a folder. AlreadyExists if it exists. */
  createScratchLayer(folder: string, parents: readonly string[], signal?: AbortSignal): Promise<void>;
  /** AlreadyExists if the container has one. No error repeats the specification. */
  addCredentialGuard(
    containerId: string,
    credentialSpecification: string,
    signal?: AbortSignal,
  ): Promise<CredentialGuardInstance>;
  /** NotFound if the container has none. */
  removeCredentialGuard(containerId: string, signal?: AbortSignal): Promise<void>;
  /** Leads hvsockets that are addressed to a container's SystemGUID into its VM, until it is closed. */
  redirectHvsockets(systemId: string, vmId: string, signal?: AbortSignal): Promise<{ close(): Promise<void> }>;
}

/** Network namespaces of containers that name none, but want a network; satisfied by the composition root. */
export interface ContainerNamespaces {
  /**
   * The pod's namespace if it has one, else a new one of these endpoints, for which the VM's network is set up. All
   * containers of a pod are in one namespace: InvalidArgument for endpoints where there is one already.
   */
  acquire(endpoints: readonly string[], signal?: AbortSignal): Promise<string>;
  /** A namespace that was made goes with its last container, the pod's own stays. */
  release(namespace: string, signal?: AbortSignal): Promise<void>;
}

/** One process, init or exec; satisfied by controller-process. */
export type ContainerProcess = CommonProcess<WindowsProcessDescription>;

/** Makes the controller of a process that is run by `guest`. */
export type ProcessFactory = CommonProcessFactory<
  ProcessGuest<WindowsProcessParameters, number | string>,
  WindowsProcessDescription
>;
