export { ShimError, translateError } from "./errors.ts";
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
} from "./platform.ts";
export { ownFolder } from "./program/executable.ts";
export type { PlatformContext, ShimOptions } from "./program/options.ts";
export { runShim } from "./program/run-shim.ts";
export { decodeRuntimeOptions, type RuntimeOptionValues } from "./program/runtime-options.ts";
export { makeDirectories, readNamedFile, withinBound } from "./system/file-calls.ts";
export { type LogLevel, PipeLog } from "./system/log.ts";
export { createPosixStdio, type PosixStdioOptions } from "./system/stdio-posix.ts";
export type { WindowsCalls } from "./system/system.ts";
