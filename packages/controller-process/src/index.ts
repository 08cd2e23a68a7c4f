export { type CreateProcess, ProcessController, type ProcessControllerOptions } from "./controller.ts";
export { type DrainLimits, defaultDrainLimits } from "./drain.ts";
export { linuxProcesses } from "./lcow.ts";
export { type ProcessOperation, type ProcessState, type ProcessStateKind, processTable } from "./lifecycle.ts";
export type {
  GuestProcess,
  OpenStdio,
  ParametersRequest,
  ProcessFlavour,
  ProcessGuest,
  SignalEffect,
  StdioPaths,
  UpstreamStdio,
} from "./types.ts";
export { type VmProgramCommand, type VmProgramDescription, vmPrograms } from "./vm-programs.ts";
export { type WindowsProcessDescription, type WindowsSignalName, windowsProcesses } from "./wcow.ts";
