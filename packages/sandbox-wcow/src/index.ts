export { type ContainerLimits, type HostFacts, type RuntimeOptions, SandboxError } from "@uvm-shim/sandbox-common";
export { containerAnnotationKeys } from "./annotations/annotations.ts";
export { registryValues } from "./annotations/registry-values.ts";
export { buildWindowsSandbox, type WindowsSandbox, type WindowsSandboxRequest } from "./document/build.ts";
export { WindowsPodSize } from "./document/resources.ts";
export {
  type BlockCim,
  type BlockCims,
  type ForkedCim,
  type LayersRequest,
  parseWindowsLayers,
  type RootfsMount,
  type WindowsLayers,
} from "./layers.ts";
export { annotationsOf } from "./options.ts";
export { isCommandInterpreter } from "./process/command-line.ts";
export {
  type ConnectedStreams,
  type ProcessParameters,
  type ProcessRequest,
  processParameters,
  type WindowsProcess,
} from "./process/parameters.ts";
export { sandboxRole } from "./role.ts";
export type {
  FileCopy,
  HostPreparation,
  LogForwarding,
  WindowsConfidentialSettings,
  WindowsSandboxSettings,
} from "./settings.ts";
