export { BlockCimController, type BlockCimControllerOptions, type CimDisks } from "./block-cims.ts";
export { WindowsContainerController } from "./controller.ts";
export type {
  ConfidentialHostedSystem,
  CredentialGuardState,
  HostedSystem,
  WindowsContainerDocument,
} from "./document/container-document.ts";
export type { ResolvedContainer } from "./document/resolved.ts";
export {
  type ContainerOperation,
  type ContainerState,
  type ContainerStateKind,
  containerTable,
} from "./lifecycle.ts";
export type { AddedMount, CreateWindowsContainer, WindowsContainerOptions } from "./options.ts";
export type { DevicePlan } from "./plan/devices.ts";
export type {
  DiskMount,
  GuestFolderMount,
  GuestPipeMount,
  HostPipeMount,
  MountPlan,
  ShareMount,
} from "./plan/mount-plan.ts";
export type {
  WindowsPlanFiles,
  WindowsPlanOptions,
  WindowsPlanRequest,
  WindowsVmFacts,
} from "./plan/options.ts";
export { type NetworkPlan, planWindowsContainer, type WindowsContainerPlan } from "./plan/plan.ts";
export type { BlockCimPlan, BlockCimRoot, FolderRoot, MountedRoot, RootPlan, ScratchPlan } from "./plan/root-plan.ts";
export { windowsContainerAnnotationKeys } from "./specification/annotations.ts";
export type { ContainerRuntimeOptions } from "./specification/runtime-options.ts";
export type {
  BlockCimConfig,
  CimConfig,
  ContainerCims,
  ContainerDevices,
  ContainerDisks,
  ContainerGuest,
  ContainerHostServices,
  ContainerNamespaces,
  ContainerPipes,
  ContainerProcess,
  ContainerShares,
  ContainerVm,
  DeviceConfig,
  DiskConfig,
  DiskMountConfig,
  GuestContainer,
  ProcessFactory,
  ShareConfig,
  WindowsGuestProcess,
} from "./types.ts";
