export { type CreateContainer, LinuxContainerController, type LinuxContainerOptions } from "./controller.ts";
export {
  type ContainerState,
  type ContainerStateName,
  type ContainerTransition,
  containerTable,
} from "./lifecycle.ts";
export type {
  ContainerClock,
  ContainerDevices,
  ContainerDisks,
  ContainerGuest,
  ContainerHostFiles,
  ContainerProcess,
  ContainerShares,
  DeviceConfig,
  DiskConfig,
  DiskMountConfig,
  GuestContainer,
  ProcessFactory,
  RootfsMount,
  ShareConfig,
  VmExited,
} from "./types.ts";
