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

export interface LinuxContainerOptions {
  readonly id: string;
  readonly podId: string;
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
}
