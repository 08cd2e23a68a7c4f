export { type Clock, systemClock } from "./clock.ts";
export { ShimError, type ShimErrorCode, shimErrorCodes, translateError } from "./errors.ts";
export { ownFolder } from "./executable.ts";
export { makeDirectories, readNamedFile, withinBound } from "./file-calls.ts";
export { type LogLevel, PipeLog } from "./log.ts";
export type { PlatformContext, ShimOptions } from "./options.ts";
export { runShim } from "./run-shim.ts";
export { decodeRuntimeOptions, type RuntimeOptionValues } from "./runtime-options.ts";
export { createPosixStdio, type PosixStdioOptions } from "./stdio-posix.ts";
export type { WindowsCalls } from "./system.ts";
export type {
  Container,
  ContainerRequest,
  Exit,
  Log,
  OpenStdio,
  Platform,
  Process,
  RootfsMount,
  Sandbox,
  SandboxRequest,
  StdioPaths,
  UpstreamStdio,
} from "./types.ts";
