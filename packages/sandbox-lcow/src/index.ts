export {
  buildLinuxSandbox,
  type HostFacts,
  type LinuxSandbox,
  type LinuxSandboxRequest,
  type RuntimeOptions,
} from "./build.ts";
export { SandboxError, type SandboxErrorCode } from "./error.ts";
