export { LinuxContainerController } from "./controller.ts";
export {
  type ContainerState,
  type ContainerStateName,
  type ContainerTransition,
  containerTable,
} from "./lifecycle.ts";
export type { CreateContainer, LinuxContainerOptions, PodSettings } from "./options.ts";
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
