export { SandboxError } from "./error.ts";
export { isCommandInterpreter } from "./process/command-line.ts";
export {
  type ConnectedStreams,
  type ProcessParameters,
  type ProcessRequest,
  processParameters,
  type WindowsProcess,
} from "./process/parameters.ts";
