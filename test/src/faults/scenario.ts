import type { Callers, ManualClock, ScriptedCalls } from "@uvm-shim/lifecycle/testing";

/** What a scenario plays on. Every call that reaches a host or a guest goes through `script`. */
export interface CaseContext {
  readonly script: ScriptedCalls;
  /** Runs each operation of a caller, who gives up when a call hangs. */
  readonly callers: Callers;
  /** Passes by itself when nothing else happens. */
  readonly clock: ManualClock;
}

export interface Play {
  /** Sets up, shares and tears down, as its callers would. What fails on the way, fails. */
  act(): Promise<void>;
  /** What whoever is responsible does until it succeeds; it is repeated when it rejects. */
  cleanUp(): Promise<void>;
  /** What is still attached, mounted, reserved, added or open on host and guest, and tracked by the controller. */
  leftovers(): readonly string[];
}

export interface Scenario {
  /** The package that it puts to the test. */
  readonly controller: string;
  readonly name: string;
  /** Whether a real guest's face is part of it, which bounds its requests itself; fakes are bounded by the harness. */
  readonly hasBounds?: boolean;
  begin(context: CaseContext): Play | Promise<Play>;
}
