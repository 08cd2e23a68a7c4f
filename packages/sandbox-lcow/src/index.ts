export { buildLinuxSandbox, type HostFacts, type LinuxSandbox, type LinuxSandboxRequest } from "./build.ts";
export { SandboxError, type SandboxErrorCode } from "./error.ts";
