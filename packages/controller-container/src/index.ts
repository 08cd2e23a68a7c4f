export { containerAnnotationKeys } from "./annotations.ts";
export { LinuxContainerController } from "./controller.ts";
export {
  type ContainerState,
  type ContainerStateName,
  type ContainerTransition,
  containerTable,
} from "./lifecycle.ts";
export type { CreateContainer, LinuxContainerOptions, PodScratch, PodSettings } from "./options.ts";
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
