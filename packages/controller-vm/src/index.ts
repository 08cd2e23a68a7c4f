export { VmController } from "./controller.ts";
export { type LinuxVmGuest, linuxVm } from "./lcow.ts";
export { type VmOperation, type VmState, type VmStateKind, vmTable } from "./lifecycle.ts";
export type { VmControllerOptions } from "./options.ts";
export type {
  DeviceWiring,
  GuestConnector,
  GuestLogLine,
  HvsocketService,
  ScsiWiring,
  VmCommand,
  VmComputeSystem,
  VmDevices,
  VmExit,
  VmFlavour,
  VmGuest,
  VmHost,
  VmHostDevices,
  VmListener,
  VmProcess,
  VmStatistics,
  VmUpdate,
  VsmbWiring,
} from "./types.ts";
export type { VmView } from "./view.ts";
export { type WindowsVmGuest, windowsVm } from "./wcow.ts";
