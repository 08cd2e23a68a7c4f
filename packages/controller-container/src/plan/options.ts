import type { StdioPaths } from "@uvm-shim/controller-process";
import type { Clock } from "@uvm-shim/lifecycle";
import type {
  ContainerDevices,
  ContainerDisks,
  ContainerGuest,
  ContainerHostFiles,
  ContainerLayout,
  ContainerShares,
  ProcessFactory,
  RootfsMount,
} from "../types.ts";

/** What the workloads of a pod have in common where their specifications do not say it. */
export interface PodSettings {
  /** A file of the host, which containers without a resolv.conf of their own have mounted read-only. */
  readonly resolvConfPath?: string;
  /** Whether those that share the sandbox's IPC namespace share /dev/shm too, as nobody else sees to it. */
  readonly sharesMemory?: boolean;
}

/** The container of a pod whose namespaces the others share. */
export interface PodAnchor {
  /** Whether it is one of type sandbox; otherwise it is one that is alone, and others came to its VM. */
  readonly isSandbox: boolean;
  /** Of its first process, in the guest; absent while it does not run. */
  readonly pid?: number | undefined;
}

/** What the guest is told of the pod's network. */
export interface ContainerNetwork {
  /**
   * By which the guest knows the namespace that this container holds, if it holds one: the pod's, or for a container
   * that is not the first one of its own, as a namespace is held once.
   */
  readonly namespaceId: string;
  /** Whether the guest has been given a NIC for it. */
  readonly hasInterfaces: () => boolean;
}

/** Which scratch disk the containers of a pod share: that of its sandbox container, once it has one. */
export interface PodScratch {
  hostPath?: string;
}

export interface LinuxContainerOptions {
  readonly id: string;
  readonly podId: string;
  /** By which the guest knows the pod's sandbox container; the pod's id when absent. */
  readonly sandboxId?: string;
  readonly pod?: PodSettings;
  /** Asked when a container is made; absent for the pod's first one, and undefined while there is none. */
  readonly anchor?: () => PodAnchor | undefined;
  readonly network?: ContainerNetwork;
  /** Of containers that are to have the host's name; they have the guest's when absent. */
  readonly hostName?: string;
  readonly bundle: string;
  readonly guest: ContainerGuest;
  readonly disks: ContainerDisks;
  readonly shares: ContainerShares;
  readonly devices: ContainerDevices;
  readonly files: ContainerHostFiles;
  readonly layout: ContainerLayout;
  readonly createProcess: ProcessFactory;
  readonly clock: Pick<Clock, "now">;
  /** Whether the guest encrypts the scratch disks of the pod; no when absent. */
  readonly encryptScratch?: boolean;
  /** Absent where each container of the pod has a scratch disk of its own. */
  readonly podScratch?: PodScratch;
  /** Annotations that hold for workload containers unless their own say otherwise. */
  readonly defaultAnnotations?: { readonly [key: string]: string };
  /** Virtual disk with drivers for containers that have a GPU, unless their annotations name another. */
  readonly gpuVhdPath?: string | undefined;
  /** Whether a directory that is the root is given to the VM for reading alone; no when absent. */
  readonly sharesRootReadOnly?: boolean;
  /** Whether the guest learns which NUMA node a device is near; no when absent. */
  readonly propagateNumaAffinity?: boolean;
  /** Takes a sentence about what is not taken as it was asked for. */
  readonly warn: (sentence: string) => void;
}

export interface CreateContainer {
  /** config.json as parsed JSON, unchecked. */
  readonly spec: unknown;
  readonly rootfs: readonly RootfsMount[];
  readonly stdio: StdioPaths;
  /** Called whenever the guest's kernel has killed something in the container for want of memory. */
  readonly onOutOfMemory?: () => void;
}
