export { type CreateProcess, ProcessController, type ProcessControllerOptions } from "./controller.ts";
export { type DrainLimits, defaultDrainLimits } from "./drain.ts";
export { type ProcessOperation, type ProcessState, type ProcessStateKind, processTable } from "./lifecycle.ts";
export type {
  GuestProcess,
  OpenStdio,
  ProcessGuest,
  StdioPaths,
  UpstreamStdio,
} from "./types.ts";
