export { type CreateContainer, LinuxContainerController, type LinuxContainerOptions } from "./controller.ts";
export {
  type ContainerState,
  type ContainerStateName,
  type ContainerTransition,
  containerTable,
} from "./lifecycle.ts";
export type {
  ContainerClock,
  ContainerDisks,
  ContainerGuest,
  ContainerHostFiles,
  ContainerProcess,
  ContainerShares,
  DiskConfig,
  DiskMountConfig,
  GuestContainer,
  ProcessFactory,
  RootfsMount,
  ShareConfig,
  VmExited,
} from "./types.ts";
