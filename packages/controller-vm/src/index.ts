export { VmController, type VmControllerOptions } from "./controller.ts";
export { type VmOperation, type VmState, type VmStateKind, vmTable } from "./lifecycle.ts";
export type {
  DeviceWiring,
  GuestConnector,
  GuestLogLine,
  ScsiWiring,
  VmClock,
  VmComputeSystem,
  VmDevices,
  VmExit,
  VmGuest,
  VmHost,
  VmHostDevices,
  VmListener,
} from "./types.ts";
