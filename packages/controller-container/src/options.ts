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
}

export interface CreateContainer {
  /** config.json as parsed JSON, unchecked. */
  readonly spec: unknown;
  readonly rootfs: readonly RootfsMount[];
  readonly stdio: StdioPaths;
  /** Called whenever the guest's kernel has killed something in the container for want of memory. */
  readonly onOutOfMemory?: () => void;
}
