export { containerAnnotationKeys } from "./annotations/annotations.ts";
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
export type { ContainerLimits } from "./document/pod-limits.ts";
export { PodSize, type SizeQuestion, type SizeVerdict } from "./document/pod-size.ts";
export { SandboxError } from "./error.ts";
export type { HostFacts } from "./host-facts.ts";
export type { OptionSettings, RuntimeOptions } from "./options.ts";
export type { PathGrammar } from "./paths.ts";
