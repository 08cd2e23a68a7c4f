export { SandboxError } from "@uvm-shim/sandbox-common";
export {
  type BlockCim,
  type BlockCims,
  type ForkedCim,
  type LayersRequest,
  parseWindowsLayers,
  type RootfsMount,
  type WindowsLayers,
} from "./layers.ts";
export { isCommandInterpreter } from "./process/command-line.ts";
export {
  type ConnectedStreams,
  type ProcessParameters,
  type ProcessRequest,
  processParameters,
  type WindowsProcess,
} from "./process/parameters.ts";
export type {
  FileCopy,
  HostPreparation,
  LogForwarding,
  WindowsConfidentialSettings,
  WindowsSandboxSettings,
} from "./settings.ts";
