export { Callers } from "./callers.ts";
export { type Call, type Fault, ScriptedCalls, scriptedError } from "./calls.ts";
export { diagramsIn } from "./diagrams.ts";
export { type FaultCase, faultCases, silentCases } from "./faults.ts";
export { ManualClock } from "./manual-clock.ts";
