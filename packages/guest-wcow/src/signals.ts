/** Signals as callers name them, and what a Windows process can be sent. */
import { GcsError } from "@uvm-shim/gcs-bridge";
import { type WindowsSignal, windowsSignalEffect, windowsSignalsExpected } from "@uvm-shim/hcs-schema";

/** What becomes of a process that is signalled: it gets a console event, or is ended. */
export type WindowsSignalling =
  | { readonly kind: "event"; readonly signal: WindowsSignal }
  | { readonly kind: "terminate" };

const withoutEvents = "6 (CtrlShutdown), 9 (KILL) or 15 (TERM), since the guest can only end a process";

/**
 * Throws InvalidArgument for a signal that Windows does not have. A guest without console events ends the process for
 * each of those that ask it to end.
 */
export function windowsSignalling(given: number | string, hasEvents: boolean): WindowsSignalling {
  const effect = windowsSignalEffect(given);
  if (effect === undefined || (!hasEvents && effect !== "terminate" && effect !== "CtrlShutdown")) {
    const expected = hasEvents ? windowsSignalsExpected : withoutEvents;
    const shown = typeof given === "number" ? given : `"${given}"`;
    throw new GcsError("InvalidArgument", `invalid signal ${shown} for a Windows process: expected ${expected}`, {
      procedure: "signalProcess",
    });
  }
  return hasEvents && effect !== "terminate" ? { kind: "event", signal: effect } : { kind: "terminate" };
}
