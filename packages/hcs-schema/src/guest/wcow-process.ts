/** Processes of a Windows guest. Field names are the wire names of the GCS protocol. */
/** Process parameters of an execute message, a JSON string on the wire. */
export interface WindowsProcessParameters {
  readonly CommandLine: string;
  readonly User?: string;
  readonly WorkingDirectory?: string;
  readonly Environment?: { readonly [name: string]: string };
  readonly EmulateConsole: boolean;
  readonly CreateStdInPipe: boolean;
  readonly CreateStdOutPipe: boolean;
  readonly CreateStdErrPipe: boolean;
  /** Height and width in characters. */
  readonly ConsoleSize?: readonly [number, number];
}

/** The same as sent: what is false or empty is left out. */
export interface SentWindowsProcessParameters extends Partial<WindowsProcessParameters> {
  readonly CommandLine: string;
}

/** Console events that a process of a Windows guest can be sent. */
export const windowsSignals = ["CtrlC", "CtrlBreak", "CtrlClose", "CtrlLogOff", "CtrlShutdown"] as const;
/** A console event by the name that the guest protocol has for it. */
export type WindowsSignal = (typeof windowsSignals)[number];

/** What a signal does to a Windows process: it gets a console event, or is ended. */
export type WindowsSignalEffect = WindowsSignal | "terminate";

/** Numbers are those of Windows' console events, except for SIGKILL and SIGTERM, which containerd sends to any task. */
const byNumber: ReadonlyMap<number, WindowsSignalEffect> = new Map([
  [0, "CtrlC"],
  [1, "CtrlBreak"],
  [2, "CtrlClose"],
  [5, "CtrlLogOff"],
  [6, "CtrlShutdown"],
  [9, "terminate"],
  [15, "CtrlShutdown"],
]);

/** In capitals, since names are compared without regard to case. */
const byName: ReadonlyMap<string, WindowsSignalEffect> = new Map([
  ...windowsSignals.map((name) => [name.toUpperCase(), name] as const),
  ["", "CtrlShutdown"],
  ["TERM", "CtrlShutdown"],
  ["SIGTERM", "CtrlShutdown"],
  ["KILL", "terminate"],
  ["SIGKILL", "terminate"],
]);

/** The signals that `windowsSignalEffect` knows, for errors. */
export const windowsSignalsExpected =
  "0 (CtrlC), 1 (CtrlBreak), 2 (CtrlClose), 5 (CtrlLogOff), 6 (CtrlShutdown), 9 (KILL) or 15 (TERM), or one of these names";

/** By number or name; undefined for a signal that Windows does not have. */
export function windowsSignalEffect(given: number | string): WindowsSignalEffect | undefined {
  const isNumber = typeof given === "number" || /^\d+$/.test(given);
  return isNumber ? byNumber.get(Number(given)) : byName.get(given.toUpperCase());
}
