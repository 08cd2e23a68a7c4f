/** What the container controller needs of the VM's devices, of the guest and of the host. */

import type {
  ContainerProcess as CommonProcess,
  ProcessFactory as CommonProcessFactory,
  RootfsMount,
} from "@uvm-shim/container-common";
import type { GuestProcess, ProcessGuest } from "@uvm-shim/controller-process";
import type {
  CgroupMetrics,
  LinuxCombinedLayers,
  LinuxHostedContainerSettings,
  LinuxProcessParameters,
  OciLinuxResources,
  OciProcess,
} from "@uvm-shim/hcs-schema";

/**
 * What a container needs of its guest; satisfied by `LinuxGuest` of guest-lcow. All calls reject with an error whose
 * `code` is one of lifecycle's `errorCodes`; `gone` says that guest or VM have ended.
 */
export interface ContainerGuest {
  addCombinedLayers(layers: LinuxCombinedLayers, signal?: AbortSignal): Promise<void>;
  removeCombinedLayers(layers: LinuxCombinedLayers, signal?: AbortSignal): Promise<void>;
  /** After a rejection the guest has no container with this id, or removes it itself. */
  createContainer(id: string, settings: LinuxHostedContainerSettings, signal?: AbortSignal): Promise<GuestContainer>;
}

/** The guest's container, with the errors of `ContainerGuest`. */
export interface GuestContainer {
  readonly id: string;
  start(signal?: AbortSignal): Promise<void>;
  /** Without OCIProcess: the init process of the specification. After a rejection no process is left running. */
  execute(parameters: LinuxProcessParameters, signal?: AbortSignal): Promise<GuestProcess>;
  /** Pids in the guest of all processes in the container. */
  processIds(signal?: AbortSignal): Promise<readonly number[]>;
  /** Statistics of the guest's kernel for the container. */
  metrics(signal?: AbortSignal): Promise<CgroupMetrics>;
  /** Changes the container's limits; absent fields stay as they are. */
  update(resources: OciLinuxResources, signal?: AbortSignal): Promise<void>;
  /** Freezes all processes. Unimplemented where the guest cannot. */
  pause(signal?: AbortSignal): Promise<void>;
  resume(signal?: AbortSignal): Promise<void>;
  /** Calls the listener whenever the guest's kernel has killed a process of it for lack of memory. */
  onOutOfMemory(listener: () => void): void;
  /** Signals all processes of the container; those of a paused one react only to SIGKILL. */
  signalAll(signal: number, abort?: AbortSignal): Promise<void>;
  /** Kills it; already stopped or unknown counts as done. Resolves when the guest has answered. */
  terminate(signal?: AbortSignal): Promise<void>;
  /**
   * Deletes the guest's state of it, and all files below the container's folders. Unknown counts as done. Must not be
   * called for a running container: the guest would lose track of it and keep its id.
   */
  deleteState(signal?: AbortSignal): Promise<void>;
}

/** Paths in the guest, which a security policy changes; satisfied by sandbox-lcow. */
export interface ContainerLayout {
  placesOf(container: { readonly id: string; readonly podId: string }): ContainerPlaces;
}

/** The ids and paths of one container in the guest. */
export interface ContainerPlaces {
  /** The guest's ids of the container and of the pod's sandbox. */
  readonly id: string;
  readonly podId: string;
  readonly bundle: string;
  /** Present where the guest requires paths of the container's own, and denies mount options. */
  readonly own?: {
    /** For a scratch disk that is not mounted yet. */
    readonly scratchDisk: string;
    /** Set even without a scratch disk. */
    readonly scratch: string;
    /** For an image that is the root file system. */
    readonly root: string;
    /** For the share of one mount; absent where shares use common paths. */
    share?(index: number): string;
  };
  /** The container's directory on a scratch disk that is mounted at `diskPath`. */
  scratchOn(diskPath: string): string;
}

/** Disks; satisfied by controller-scsi. */
export interface ContainerDisks {
  reserve(disk: DiskConfig, mount: DiskMountConfig): Promise<string>;
  /** Returns the path in the guest. */
  mapToGuest(reservation: string, signal?: AbortSignal): Promise<string>;
  unmapFromGuest(reservation: string, signal?: AbortSignal): Promise<void>;
}

/** A disk as the host knows it. */
export interface DiskConfig {
  readonly hostPath: string;
  readonly readOnly: boolean;
  readonly type: "VirtualDisk" | "PassThru" | "ExtensibleVirtualDisk";
  /** Name of the provider of an ExtensibleVirtualDisk. */
  readonly extensibleVirtualDiskType?: string;
}

/** How the guest mounts a disk, or a partition of one. */
export interface DiskMountConfig {
  /** 0: the whole disk. */
  readonly partition: number;
  readonly readOnly: boolean;
  readonly options?: readonly string[];
  readonly filesystem?: string;
  readonly ensureFilesystem?: boolean;
  readonly encrypted?: boolean;
  readonly blockDevice?: boolean;
  /** Where the guest mounts it, instead of at the default path. */
  readonly guestPath?: string;
  /** The same, unless it is mounted already: then it stays where it is. */
  readonly preferredGuestPath?: string;
}

/** Shares; satisfied by controller-plan9. */
export interface ContainerShares {
  reserve(share: ShareConfig): Promise<string>;
  mapToGuest(reservation: string, signal?: AbortSignal): Promise<string>;
  unmapFromGuest(reservation: string, signal?: AbortSignal): Promise<void>;
}

/** A directory of the host to be shared with the guest. */
export interface ShareConfig {
  readonly hostPath: string;
  readonly readOnly: boolean;
  /** Only these files directly in hostPath may be opened. */
  readonly allowedFiles?: readonly string[];
  /** Where the guest mounts it, instead of at the default path. */
  readonly guestPath?: string;
}

/** Assigned devices of the host; satisfied by controller-vpci. */
export interface ContainerDevices {
  reserve(device: DeviceConfig): Promise<string>;
  /** Returns the VMBus GUID of the device in the guest. */
  mapToGuest(reservation: string, signal?: AbortSignal): Promise<string>;
  unmapFromGuest(reservation: string, signal?: AbortSignal): Promise<void>;
}

/** A device of the host, or a virtual function of one, to be assigned to the VM. */
export interface DeviceConfig {
  readonly deviceInstancePath: string;
  readonly virtualFunction: number;
  readonly propagateNumaAffinity?: boolean;
}

/** A block device of the host. */
export interface HostBlockDevice {
  /** The same for every name of the device. */
  readonly path: string;
  /** Whether the given path is one of its names on the host. */
  readonly isNamed: boolean;
}

/**
 * File operations of the host: to find layers, and to mount root file systems that only the host can mount, as a Linux
 * containerd sends them.
 */
export interface ContainerHostFiles {
  /** The kind of file; undefined if it does not exist. Symbolic links are followed. */
  kind(path: string): Promise<"file" | "directory" | "block" | "other" | undefined>;
  realPath(path: string): Promise<string>;
  /** Whether the host has mounts below a directory that `realPath` returned. */
  hasMountsBelow(path: string): Promise<boolean>;
  /** The host's block device of this number, and whether `path` is one of its names; undefined if there is none. */
  blockDevice(
    device: { readonly major: number; readonly minor: number },
    path: string,
  ): Promise<HostBlockDevice | undefined>;
  /** Whether later mounts of the host below a real path appear in its share. */
  showsLaterMounts(path: string): Promise<boolean>;
  /** Which of nosuid, nodev and noexec the mount of a real path has. */
  mountFlags(path: string): Promise<readonly string[]>;
  /** Mounts the list at `target` on the host; the directory is created if missing. */
  mountAll(mounts: readonly RootfsMount[], target: string, signal?: AbortSignal): Promise<void>;
  /** Unmounts everything at `target`. Not mounted counts as done. */
  unmountAll(target: string): Promise<void>;
  grantVmAccess(path: string, signal?: AbortSignal): Promise<void>;
  /** Missing counts as removed. */
  removeFile(path: string): Promise<void>;
}

/** Mounts of a root that the host has begun before there was a container; satisfied by `EarlyMounts`. */
export interface BegunMounts {
  /**
   * Hands over what is mounted at the directory, or is about to be, for the caller to unmount; undefined if nothing is.
   */
  take(directory: string, signal?: AbortSignal): Promise<void> | undefined;
}

/** Lookups that run before anything is acquired. */
export type PathLookup = Pick<
  ContainerHostFiles,
  "kind" | "realPath" | "hasMountsBelow" | "showsLaterMounts" | "mountFlags"
>;

export type { RootfsMount };

/** A process of a Linux container, which is described as in the OCI specification. */
export type ContainerProcess = CommonProcess<OciProcess>;

/** Makes the controller of a process that is run by `guest`. */
export type ProcessFactory = CommonProcessFactory<ProcessGuest, OciProcess>;
