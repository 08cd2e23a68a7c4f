import type { Fault } from "./calls.ts";

export interface FaultCase {
  readonly call: number;
  readonly fault: Fault;
}

/** Every fault that any call can meet, at every one of so many calls. */
export function faultCases(calls: number): readonly FaultCase[] {
  const faults: readonly Fault[] = ["fail", "lose", "hang", "hangDone"];
  return Array.from({ length: calls }, (_, call) => faults.map((fault) => ({ call, fault }))).flat();
}

/** No answer at all, at each of these calls, which have a bound of their own. */
export function silentCases(calls: readonly number[]): readonly FaultCase[] {
  const faults: readonly Fault[] = ["silent", "silentDone"];
  return calls.flatMap((call) => faults.map((fault) => ({ call, fault })));
}
