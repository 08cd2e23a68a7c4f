import type { Fault } from "./calls.ts";

/** One run of a scenario: which call, counted from 0, has which fault. */
export interface FaultCase {
  readonly call: number;
  readonly fault: Fault;
}

/** Every fault at every one of the calls. */
export function faultCases(calls: number): readonly FaultCase[] {
  const faults: readonly Fault[] = ["fail", "lose", "hang", "hangDone"];
  return Array.from({ length: calls }, (_, call) => faults.map((fault) => ({ call, fault }))).flat();
}

/** No answer at each of these calls, which have a time bound. */
export function silentCases(calls: readonly number[]): readonly FaultCase[] {
  const faults: readonly Fault[] = ["silent", "silentDone"];
  return calls.flatMap((call) => faults.map((fault) => ({ call, fault })));
}
