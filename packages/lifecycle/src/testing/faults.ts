import type { Fault } from "./calls.ts";

export interface FaultCase {
  readonly call: number;
  readonly fault: Fault;
}

/** Every fault at every one of so many calls. */
export function faultCases(calls: number): readonly FaultCase[] {
  const faults: readonly Fault[] = ["fail", "lose", "hang", "hangDone"];
  return Array.from({ length: calls }, (_, call) => faults.map((fault) => ({ call, fault }))).flat();
}
