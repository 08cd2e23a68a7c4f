export { SandboxError } from "./error.ts";
export {
  type ConnectedStreams,
  type ProcessParameters,
  type ProcessRequest,
  processParameters,
  type WindowsProcess,
} from "./process/parameters.ts";
