export { connectEmulatedHost } from "./emulator/emulated-host.ts";
export { type HostLocation, resolveHost } from "./emulator/resolve-host.ts";
export type { ConnectOptions, StartCommand } from "./emulator/start-host.ts";
export { HostError, type HostErrorDetails } from "./host-error.ts";
export { createPosixHostFiles, type PosixHostFiles, type PosixHostFilesOptions } from "./host-files/posix.ts";
export { createWindowsHostFiles, type WindowsHostFiles, type WindowsHostFilesOptions } from "./host-files/windows.ts";
export type {
  ComputeHost,
  ComputeSystem,
  HostNetworks,
  HvsocketListener,
  HvsocketRedirection,
  WindowsGuestServices,
} from "./types.ts";
