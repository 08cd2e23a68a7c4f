export {
  type ContainerLimits,
  describeDifference,
  type Fit,
  fitDocument,
  type HostFacts,
  type OptionSettings,
  type PathGrammar,
  type RuntimeOptions,
  SandboxError,
  type SizeQuestion,
  type SizeVerdict,
} from "@uvm-shim/sandbox-common";
export { containerAnnotationKeys } from "./annotations/annotations.ts";
export { bootFilesOf } from "./document/boot-files.ts";
export {
  buildLinuxSandbox,
  type LinuxSandbox,
  type LinuxSandboxRequest,
  type SandboxSettings,
} from "./document/build.ts";
export type { ConfidentialSettings } from "./document/confidential.ts";
export {
  type DiskPlacement,
  type LinuxContainerPlaces,
  type LinuxGuestLayout,
  ordinaryGuestLayout,
  policyGuestLayout,
} from "./document/guest-layout.ts";
export { PodSize } from "./document/pod-size.ts";
