export { LinuxContainerController } from "./controller.ts";
export {
  type ContainerOperation,
  type ContainerState,
  type ContainerStateKind,
  containerTable,
} from "./lifecycle.ts";
export { containerAnnotationKeys } from "./plan/annotations.ts";
export type {
  ContainerNetwork,
  CreateContainer,
  LinuxContainerOptions,
  PodAnchor,
  PodScratch,
  PodSettings,
} from "./plan/options.ts";
export { EarlyMounts, type EarlyRequest, type MountingFiles } from "./resources/early-mounts.ts";
export { needOfPod, sandboxOfOne } from "./sandbox/needs.ts";
export { type ProgramArchitecture, sandboxProgram } from "./sandbox/program.ts";
export { type SandboxHost, type SandboxRootEntry, sandboxRootEntries } from "./sandbox/root.ts";
export { type SandboxRequest, sandboxSpecification } from "./sandbox/specification.ts";
export type {
  BegunMounts,
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
  HostBlockDevice,
  ProcessFactory,
  RootfsMount,
  ShareConfig,
} from "./types.ts";
