/** Processes of a Windows guest. Field names are the wire names of the GCS protocol. */
import { type Check, closedObject, filledText, integer, optional, record, refine, text, truth } from "../check.ts";

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

const consoleSize: Check<readonly [number, number]> = (value, path = "") => {
  const pair = refine(
    (given: unknown) => given,
    "a height and a width",
    (given) => {
      return Array.isArray(given) && given.length === 2;
    },
  )(value, path) as readonly unknown[];
  const side = integer(0, 0xffff);
  return [side(pair[0], `${path}[0]`), side(pair[1], `${path}[1]`)];
};

/** Parameters as a Windows guest reads them. Throws a SchemaError for a field that it does not know. */
export const checkWindowsProcessParameters: Check<SentWindowsProcessParameters> =
  closedObject<SentWindowsProcessParameters>({
    CommandLine: filledText,
    User: optional(text),
    WorkingDirectory: optional(text),
    Environment: optional(record(text)),
    EmulateConsole: optional(truth),
    CreateStdInPipe: optional(truth),
    CreateStdOutPipe: optional(truth),
    CreateStdErrPipe: optional(truth),
    ConsoleSize: optional(consoleSize),
  });

/** Console events that a process of a Windows guest can be sent. */
export const windowsSignals = ["CtrlC", "CtrlBreak", "CtrlClose", "CtrlLogOff", "CtrlShutdown"] as const;
export type WindowsSignal = (typeof windowsSignals)[number];
