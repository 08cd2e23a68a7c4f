export { containerAnnotationKeys } from "./annotations.ts";
export { buildLinuxSandbox, type LinuxSandbox, type LinuxSandboxRequest, type SandboxSettings } from "./build.ts";
export type { ConfidentialSettings } from "./confidential.ts";
export type { HostFacts } from "./context.ts";
export { SandboxError, type SandboxErrorCode } from "./error.ts";
export {
  type DiskPlacement,
  type LinuxContainerPlaces,
  type LinuxGuestLayout,
  ordinaryGuestLayout,
  policyGuestLayout,
} from "./guest-layout.ts";
export type { OptionSettings, RuntimeOptions } from "./options.ts";
export type { PathGrammar } from "./paths.ts";
export type { ContainerLimits } from "./pod-limits.ts";
export { PodSize, type SizeQuestion, type SizeVerdict } from "./pod-size.ts";
