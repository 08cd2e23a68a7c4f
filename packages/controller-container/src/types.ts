/** What the container controller asks of the VM's devices and of the guest. */

import type { GuestProcess, ProcessExit, ProcessGuest, StdioPaths } from "@uvm-shim/controller-process";
import type {
  CgroupMetrics,
  LinuxCombinedLayers,
  LinuxHostedContainerSettings,
  LinuxProcessParameters,
  OciLinuxResources,
  OciProcess,
} from "@uvm-shim/hcs-schema";

export interface ContainerGuest {
  addCombinedLayers(layers: LinuxCombinedLayers, signal?: AbortSignal): Promise<void>;
  removeCombinedLayers(layers: LinuxCombinedLayers, signal?: AbortSignal): Promise<void>;
  /** When it rejects, the guest has no container of this id, or removes by itself the one that it made too late. */
  createContainer(id: string, settings: LinuxHostedContainerSettings, signal?: AbortSignal): Promise<GuestContainer>;
}

export interface GuestContainer {
  readonly id: string;
  start(signal?: AbortSignal): Promise<void>;
  /** Without OCIProcess: the init process of the specification. When it rejects, no process is left running. */
  execute(parameters: LinuxProcessParameters, signal?: AbortSignal): Promise<GuestProcess>;
  /** Pids in the guest of all that runs in the container. */
  processIds(signal?: AbortSignal): Promise<readonly number[]>;
  /** What the guest's kernel has counted for the container. */
  metrics(signal?: AbortSignal): Promise<CgroupMetrics>;
  /** Changes the container's limits; what is absent stays as it is. */
  update(resources: OciLinuxResources, signal?: AbortSignal): Promise<void>;
  /** Stops every process where it stands. Unimplemented where the guest cannot. */
  pause(signal?: AbortSignal): Promise<void>;
  resume(signal?: AbortSignal): Promise<void>;
  /** Has the listener called whenever the guest's kernel has killed something of it for want of memory. */
  onOutOfMemory(listener: () => void): void;
  /** Signals every process of the container; those of a paused one die of SIGKILL alone. */
  signalAll(signal: number, abort?: AbortSignal): Promise<void>;
  /** Ends it at once; already stopped or unknown counts as done. Resolves when the guest has answered. */
  terminate(signal?: AbortSignal): Promise<void>;
  /**
   * Removes what the guest keeps of it, and all files that it reaches in the container's folders. Unknown counts as done.
   * Not for one that runs: the guest would forget it, and keep its id.
   */
  deleteState(signal?: AbortSignal): Promise<void>;
}

/** Where things stand in the guest, which is not the same with a security policy: satisfied by sandbox-lcow. */
export interface ContainerLayout {
  placesOf(container: { readonly id: string; readonly podId: string }): ContainerPlaces;
}

/** The names and places of one container in the guest. */
export interface ContainerPlaces {
  /** By which the guest knows the container, and the pod's sandbox. */
  readonly id: string;
  readonly podId: string;
  readonly bundle: string;
  /** Present where the guest demands a place of the container's own for all that it has, and denies mount options. */
  readonly own?: {
    /** Of a scratch disk that stands nowhere yet. */
    readonly scratchDisk: string;
    /** Named also where there is no scratch disk. */
    readonly scratch: string;
    /** Of an image that is the root file system. */
    readonly root: string;
    /** Of what is shared for one mount of the specification; absent where that may stand in common. */
    share?(index: number): string;
  };
  /** The container's directory on a scratch disk that stands at `diskPath`. */
  scratchOn(diskPath: string): string;
}

/** Disks: satisfied by controller-scsi. */
export interface ContainerDisks {
  reserve(disk: DiskConfig, mount: DiskMountConfig): Promise<string>;
  /** Answers with the path in the guest. */
  mapToGuest(reservation: string, signal?: AbortSignal): Promise<string>;
  unmapFromGuest(reservation: string, signal?: AbortSignal): Promise<void>;
}

export interface DiskConfig {
  readonly hostPath: string;
  readonly readOnly: boolean;
  readonly type: "VirtualDisk" | "PassThru" | "ExtensibleVirtualDisk";
  /** Name of the provider of an ExtensibleVirtualDisk, which hostPath is a path of. */
  readonly extensibleVirtualDiskType?: string;
}

export interface DiskMountConfig {
  /** 0: the whole disk. */
  readonly partition: number;
  readonly readOnly: boolean;
  readonly options?: readonly string[];
  readonly filesystem?: string;
  readonly ensureFilesystem?: boolean;
  readonly encrypted?: boolean;
  readonly blockDevice?: boolean;
  /** Where the guest mounts it, instead of at a place of its own. */
  readonly guestPath?: string;
  /** The same, unless it is mounted already: then it stays where it is. */
  readonly preferredGuestPath?: string;
}

/** Shares: satisfied by controller-plan9. */
export interface ContainerShares {
  reserve(share: ShareConfig): Promise<string>;
  mapToGuest(reservation: string, signal?: AbortSignal): Promise<string>;
  unmapFromGuest(reservation: string, signal?: AbortSignal): Promise<void>;
}

export interface ShareConfig {
  readonly hostPath: string;
  readonly readOnly: boolean;
  /** Only these names, directly below hostPath, may be opened. */
  readonly allowedFiles?: readonly string[];
  /** Where the guest mounts it, instead of at a place of its own. */
  readonly guestPath?: string;
}

/** Devices of the host: satisfied by controller-vpci. */
export interface ContainerDevices {
  reserve(device: DeviceConfig): Promise<string>;
  /** Answers with the VMBus GUID by which the guest knows the device. */
  mapToGuest(reservation: string, signal?: AbortSignal): Promise<string>;
  unmapFromGuest(reservation: string, signal?: AbortSignal): Promise<void>;
}

export interface DeviceConfig {
  readonly deviceInstancePath: string;
  readonly virtualFunction: number;
  readonly propagateNumaAffinity?: boolean;
}

/** One mount of the root file system as containerd gives it. */
export interface RootfsMount {
  readonly type: string;
  readonly source: string;
  readonly target?: string;
  readonly options: readonly string[];
}

/** A block device of the host. */
export interface HostBlockDevice {
  /** The same for every name that the device has. */
  readonly path: string;
  /** Whether the path that was asked about is one of its names on the host. */
  readonly isNamed: boolean;
}

/**
 * What the host can do with files: the operations the controller needs to find layers, and to mount on the host
 * the kinds of root file system that a Linux containerd gives and that only the host can mount.
 */
export interface ContainerHostFiles {
  /** "file", "directory", or undefined when there is none. Symbolic links are followed. */
  kind(path: string): Promise<"file" | "directory" | "block" | "other" | undefined>;
  realPath(path: string): Promise<string>;
  /** Whether the host has something mounted below a directory that `realPath` answered with. */
  hasMountsBelow(path: string): Promise<boolean>;
  /** The host's block device of this number, also by whether it is what stands at `path`; undefined when it has none. */
  blockDevice(
    device: { readonly major: number; readonly minor: number },
    path: string,
  ): Promise<HostBlockDevice | undefined>;
  /** Whether what the host mounts below a real path later on shows below the share of it as well. */
  showsLaterMounts(path: string): Promise<boolean>;
  /** Which of nosuid, nodev and noexec the mount has that a real path lies on. */
  mountFlags(path: string): Promise<readonly string[]>;
  /** Mounts the list over `target` (an existing or to be made directory) on the host. */
  mountAll(mounts: readonly RootfsMount[], target: string, signal?: AbortSignal): Promise<void>;
  /** Unmounts all that is mounted at `target`. Not mounted counts as done. */
  unmountAll(target: string): Promise<void>;
  grantVmAccess(path: string, signal?: AbortSignal): Promise<void>;
  /** Missing counts as removed. */
  removeFile(path: string): Promise<void>;
}

/** What is asked of the host before anything is acquired. */
export type PathLookup = Pick<
  ContainerHostFiles,
  "kind" | "realPath" | "hasMountsBelow" | "showsLaterMounts" | "mountFlags"
>;

/** One process, init or exec; controller-process satisfies it. */
export interface ContainerProcess {
  readonly execId: string;
  readonly pid: number;
  readonly stdio: StdioPaths;
  readonly state: "created" | "running" | "stopped";
  readonly exit: ProcessExit | undefined;
  /** Whether it has ended, be it that its exit is told only when its output has reached the client. */
  readonly hasEnded: boolean;
  create(request: { readonly stdio: StdioPaths; readonly process?: OciProcess }, signal?: AbortSignal): Promise<void>;
  /** Tells the pid that the process is going to have; without effect once it has been started. */
  expectPid(pid: number): void;
  start(signal?: AbortSignal): Promise<number>;
  kill(signalNumber: number, signal?: AbortSignal): Promise<void>;
  resize(width: number, height: number, signal?: AbortSignal): Promise<void>;
  closeStdin(signal?: AbortSignal): Promise<void>;
  wait(signal?: AbortSignal): Promise<ProcessExit>;
  /** Ends a process that has not been started, with this status. Without effect on any other. */
  abandon(status: number): Promise<void>;
  vmExited(exit: VmExited): void;
}

/** Makes the controller of a process whose calls to the guest go to `guest`. */
export type ProcessFactory = (options: {
  readonly containerId: string;
  readonly execId: string;
  readonly guest: ProcessGuest;
}) => ContainerProcess;

export interface VmExited {
  readonly reason: string;
}
