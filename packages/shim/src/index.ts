export type { DeviceDescriptions, HostDescription, SandboxDescription, VmShare } from "./description.ts";
export { ShimError, translateError } from "./errors.ts";
export type {
  Container,
  ContainerRequest,
  Exit,
  Log,
  LogLevel,
  OpenStdio,
  Platform,
  Process,
  RootfsMount,
  Sandbox,
  SandboxRequest,
  StdioPaths,
  UpstreamStdio,
  VmProgram,
} from "./platform.ts";
export { ownFolder } from "./program/executable.ts";
export { runShim } from "./program/run-shim.ts";
export { decodeRuntimeOptions, type RuntimeOptionValues } from "./program/runtime-options.ts";
export type { PlatformContext, ShimOptions } from "./program/shim-options.ts";
export type { PlannedVm, ReadyVm, ReadyVms } from "./ready-vms.ts";
export type { GrpcPart } from "./sandboxer/grpc-part.ts";
export { callFileSystem, makeDirectories, readNamedFile } from "./system/file-calls.ts";
export { PipeLog } from "./system/log.ts";
export type { LinuxCallsPart } from "./system/output-move.ts";
export { randomBytes, randomUuid } from "./system/random.ts";
export { createPosixStdio, type PosixStdioOptions } from "./system/stdio-posix.ts";
export type { WindowsCalls } from "./system/system.ts";
export type { TelemetryPart } from "./telemetry/part.ts";
