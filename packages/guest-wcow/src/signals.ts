/** Signals as callers name them, and what a Windows process can be sent. */
import { GcsError } from "@uvm-shim/gcs-bridge";
import type { WindowsSignal } from "@uvm-shim/hcs-schema";

/** What becomes of a process that is signalled: it gets a console event, or is ended. */
export type WindowsSignalling =
  | { readonly kind: "event"; readonly signal: WindowsSignal }
  | { readonly kind: "terminate" };

const terminate: WindowsSignalling = { kind: "terminate" };
const shutdownEvent: WindowsSignalling = { kind: "event", signal: "CtrlShutdown" };

/** Numbers are those of Windows' console events, except for SIGKILL and SIGTERM, which containerd sends to any task. */
const byNumber = new Map<number, WindowsSignalling>([
  [0, { kind: "event", signal: "CtrlC" }],
  [1, { kind: "event", signal: "CtrlBreak" }],
  [2, { kind: "event", signal: "CtrlClose" }],
  [5, { kind: "event", signal: "CtrlLogOff" }],
  [6, shutdownEvent],
  [9, terminate],
  [15, shutdownEvent],
]);

/** In capitals, since names are compared without regard to case. */
const byName = new Map<string, WindowsSignalling>([
  ["", shutdownEvent],
  ["CTRLC", { kind: "event", signal: "CtrlC" }],
  ["CTRLBREAK", { kind: "event", signal: "CtrlBreak" }],
  ["CTRLCLOSE", { kind: "event", signal: "CtrlClose" }],
  ["CTRLLOGOFF", { kind: "event", signal: "CtrlLogOff" }],
  ["CTRLSHUTDOWN", shutdownEvent],
  ["TERM", shutdownEvent],
  ["SIGTERM", shutdownEvent],
  ["KILL", terminate],
  ["SIGKILL", terminate],
]);

const withEvents =
  "0 (CtrlC), 1 (CtrlBreak), 2 (CtrlClose), 5 (CtrlLogOff), 6 (CtrlShutdown), 9 (KILL) or 15 (TERM), or one of these names";
const withoutEvents = "6 (CtrlShutdown), 9 (KILL) or 15 (TERM), since the guest can only end a process";

/**
 * Throws InvalidArgument for a signal that Windows does not have. A guest without console events ends the process for
 * each of those that ask it to end.
 */
export function windowsSignalling(given: number | string, hasEvents: boolean): WindowsSignalling {
  const isNumber = typeof given === "number" || /^\d+$/.test(given);
  const meant = isNumber ? byNumber.get(Number(given)) : byName.get(given.toUpperCase());
  if (meant === undefined || (!hasEvents && meant !== terminate && meant !== shutdownEvent)) {
    const expected = hasEvents ? withEvents : withoutEvents;
    const shown = typeof given === "number" ? given : `"${given}"`;
    throw new GcsError("InvalidArgument", `invalid signal ${shown} for a Windows process: expected ${expected}`, {
      procedure: "signalProcess",
    });
  }
  return hasEvents ? meant : terminate;
}
