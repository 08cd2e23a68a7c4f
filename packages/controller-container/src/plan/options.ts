import type { StdioPaths } from "@uvm-shim/controller-process";
import type { Clock } from "@uvm-shim/lifecycle";
import type {
  BegunMounts,
  ContainerDevices,
  ContainerDisks,
  ContainerGuest,
  ContainerHostFiles,
  ContainerLayout,
  ContainerShares,
  ProcessFactory,
  RootfsMount,
} from "../types.ts";

/** Settings of all workloads of a pod, unless their specifications say otherwise. */
export interface PodSettings {
  /** A file of the host that is mounted read-only into containers without a resolv.conf of their own. */
  readonly resolvConfPath?: string;
  /** Whether containers in the sandbox's IPC namespace share its /dev/shm, where the client does not arrange it. */
  readonly sharesMemory?: boolean;
}

/** The container whose namespaces the other containers of the pod share. */
export interface PodAnchor {
  /** Whether it is of type sandbox; otherwise it is a single container whose VM others have joined. */
  readonly isSandbox: boolean;
  /** Pid of its init process in the guest; absent while it does not run. */
  readonly pid?: number | undefined;
}

/** The pod's network as the guest knows it. */
export interface ContainerNetwork {
  /**
   * The guest's id of the namespace that this container holds: the pod's, or an own one for a further container, since
   * only one container can hold a namespace.
   */
  readonly namespaceId: string;
  /** Whether the guest has a NIC for it. */
  readonly hasInterfaces: () => boolean;
}

/** The scratch disk that the containers of a pod share: the sandbox container's, once that has one. */
export interface PodScratch {
  hostPath?: string;
}

/** What a `LinuxContainerController` is made from. */
export interface LinuxContainerOptions {
  readonly id: string;
  readonly podId: string;
  /** The id of the pod's sandbox container; the pod's id when absent. */
  readonly sandboxId?: string;
  readonly pod?: PodSettings;
  /** Called when a container is created; absent for the pod's first one; undefined while there is no anchor. */
  readonly anchor?: () => PodAnchor | undefined;
  readonly network?: ContainerNetwork;
  /** Host name of containers without a UTS namespace; the guest's name when absent. */
  readonly hostName?: string;
  readonly bundle: string;
  readonly guest: ContainerGuest;
  readonly disks: ContainerDisks;
  readonly shares: ContainerShares;
  readonly devices: ContainerDevices;
  readonly files: ContainerHostFiles;
  /** Absent where the host mounts nothing before the container is created. */
  readonly begunMounts?: BegunMounts | undefined;
  readonly layout: ContainerLayout;
  readonly createProcess: ProcessFactory;
  readonly clock: Pick<Clock, "now">;
  /** Whether the guest encrypts the scratch disks of the pod; no when absent. */
  readonly encryptScratch?: boolean;
  /** Absent where each container has a scratch disk of its own. */
  readonly podScratch?: PodScratch;
  /** Annotations of workload containers, which their own override. */
  readonly defaultAnnotations?: { readonly [key: string]: string };
  /** Virtual disk with GPU drivers, unless a container's annotations name another. */
  readonly gpuVhdPath?: string | undefined;
  /** Whether a root directory is shared read-only with the VM; no when absent. */
  readonly sharesRootReadOnly?: boolean;
  /** Whether devices tell the guest their NUMA node; no when absent. */
  readonly propagateNumaAffinity?: boolean;
  /** Logs a warning about a setting without its full effect. */
  readonly warn: (sentence: string) => void;
}

/** What a container is created from. */
export interface CreateContainer {
  /** config.json as parsed JSON, unchecked. */
  readonly spec: unknown;
  readonly rootfs: readonly RootfsMount[];
  readonly stdio: StdioPaths;
  /** Called whenever the guest's kernel has killed a process of the container for lack of memory. */
  readonly onOutOfMemory?: () => void;
}
