import type { StdioPaths } from "@uvm-shim/controller-process";
import type {
  ContainerClock,
  ContainerDevices,
  ContainerDisks,
  ContainerGuest,
  ContainerHostFiles,
  ContainerLayout,
  ContainerShares,
  ProcessFactory,
  RootfsMount,
} from "./types.ts";

/** What the containers of a pod have in common where their specifications do not say it. */
export interface PodSettings {
  readonly hostname?: string;
  /** A file of the host, which containers without a resolv.conf of their own have mounted read-only. */
  readonly resolvConfPath?: string;
  readonly sysctls: { readonly [name: string]: string };
}

/** Which scratch disk the containers of a pod share: that of its sandbox container, once it has one. */
export interface PodScratch {
  hostPath?: string;
}

export interface LinuxContainerOptions {
  readonly id: string;
  readonly podId: string;
  readonly pod?: PodSettings;
  readonly bundle: string;
  readonly guest: ContainerGuest;
  readonly disks: ContainerDisks;
  readonly shares: ContainerShares;
  readonly devices: ContainerDevices;
  readonly files: ContainerHostFiles;
  readonly layout: ContainerLayout;
  readonly createProcess: ProcessFactory;
  readonly clock: ContainerClock;
  /** Whether the guest encrypts the scratch disks of the pod; no when absent. */
  readonly encryptScratch?: boolean;
  /** Absent where each container of the pod has a scratch disk of its own. */
  readonly podScratch?: PodScratch;
  /** Annotations that hold for workload containers unless their own say otherwise. */
  readonly defaultAnnotations?: { readonly [key: string]: string };
  /** Virtual disk with drivers for containers that have a GPU, unless their annotations name another. */
  readonly gpuVhdPath?: string | undefined;
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
