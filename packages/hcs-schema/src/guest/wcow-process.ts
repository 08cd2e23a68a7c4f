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
export type WindowsSignal = (typeof windowsSignals)[number];
