export { type CreateProcess, ProcessController, type ProcessControllerOptions } from "./controller.ts";
export { type DrainLimits, defaultDrainLimits } from "./drain.ts";
export { type ProcessState, type ProcessStateName, type ProcessTransition, processTable } from "./lifecycle.ts";
export type {
  GuestProcess,
  OpenStdio,
  ProcessExit,
  ProcessGuest,
  StdioPaths,
  UpstreamStdio,
} from "./types.ts";
