export { type Acquisition, Acquisitions, isGone, type Step, unlessGone } from "./acquisitions.ts";
export {
  ControllerError,
  type ControllerErrorDetails,
  codeOf,
  type ErrorCode,
  errorCodes,
  messageOf,
  wrapError,
} from "./error.ts";
export type { Exit } from "./exit.ts";
export {
  type Attributes,
  addObserver,
  currentObservation,
  currentScope,
  currentTraceContext,
  leaveFailedContext,
  type Observation,
  type ObservationKind,
  ObservationScope,
  type ObservedWork,
  type Observer,
  type Occurrence,
  observe,
  reportOccurrence,
  type StateChange,
  type TraceContext,
} from "./observation/observation.ts";
export { type HostPaths, posixPaths, windowsPaths } from "./paths.ts";
export { OperationQueue } from "./queue.ts";
export { type Refuse, refusing } from "./refusal.ts";
export { defineTable, diagram, Lifecycle, type StateData, type Transition, type TransitionTable } from "./table.ts";
export { abortable, acquireOrRelease } from "./waiting/abortable.ts";
export { type Clock, type ClockParts, createClock, delay, systemClock } from "./waiting/clock.ts";
export { type Deadline, settlesWithin, withDeadline } from "./waiting/deadline.ts";
export { Interruptions } from "./waiting/interruptions.ts";

// Every package that runs has this one. Without the sentence the first call on an older Node fails as if its peer were at fault.
if (typeof Promise.withResolvers !== "function") throw new Error("The packages of @uvm-shim need Node 22 or later.");
