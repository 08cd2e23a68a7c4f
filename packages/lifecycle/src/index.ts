export { type Acquisition, Acquisitions, isGone, type Step, unlessGone } from "./acquisitions.ts";
export {
  ControllerError,
  type ControllerErrorCode,
  type ControllerErrorDetails,
  codeOf,
  controllerErrorCodes,
  messageOf,
  wrapError,
} from "./error.ts";
export type { Exit } from "./exit.ts";
export { type HostPaths, posixPaths, windowsPaths } from "./paths.ts";
export { abortable, OperationQueue } from "./queue.ts";
export { type Refuse, refusing } from "./refusal.ts";
export { defineTable, diagram, Lifecycle, type StateData, type Transition, type TransitionTable } from "./table.ts";
