import type { StdioPaths } from "@uvm-shim/controller-process";
import type {
  ContainerClock,
  ContainerDevices,
  ContainerDisks,
  ContainerGuest,
  ContainerHostFiles,
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
  readonly createProcess: ProcessFactory;
  readonly clock: ContainerClock;
  /** Whether the guest encrypts the scratch disks of the pod; no when absent. */
  readonly encryptScratch?: boolean;
}

export interface CreateContainer {
  /** config.json as parsed JSON, unchecked. */
  readonly spec: unknown;
  readonly rootfs: readonly RootfsMount[];
  readonly stdio: StdioPaths;
  /** Called whenever the guest's kernel has killed something in the container for want of memory. */
  readonly onOutOfMemory?: () => void;
}
