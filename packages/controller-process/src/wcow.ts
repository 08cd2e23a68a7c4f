import { type WindowsProcessParameters, windowsSignalEffect, windowsSignalsExpected } from "@uvm-shim/hcs-schema";
import { ControllerError } from "@uvm-shim/lifecycle";
import { defaultDrainLimits } from "./drain.ts";
import { lostStatus } from "./status.ts";
import type { ProcessFlavour } from "./types.ts";

/** What a Windows process is, without its console and pipes, which its client decides. */
export type WindowsProcessDescription = Omit<
  WindowsProcessParameters,
  "EmulateConsole" | "CreateStdInPipe" | "CreateStdOutPipe" | "CreateStdErrPipe"
>;

/** By number or name. */
export type WindowsSignalName = number | string;

/** Exit status of a process that was ended before its start, as the reference's shim reports it. */
const endedBeforeStart = 1;
/** ERROR_PROCESS_ABORTED: the process was ended, not by itself. */
const processAborted = 1067;
const highestExitCode = 0xffffffff;

/** Processes of Windows guests: init processes are described like all others. */
export const windowsProcesses: ProcessFlavour<WindowsProcessDescription, WindowsProcessParameters, WindowsSignalName> =
  {
    parameters: ({ description, consoleSize, pipes }) => ({
      CommandLine: "",
      ...description,
      ...(consoleSize && { ConsoleSize: [consoleSize.height, consoleSize.width] as const }),
      ...pipes,
    }),
    effectOf: (signal, id) => {
      const effect = windowsSignalEffect(signal);
      if (effect === undefined) {
        const shown = typeof signal === "number" ? signal : JSON.stringify(signal);
        const message = `invalid signal ${shown} for a Windows process: expected ${windowsSignalsExpected}`;
        throw new ControllerError("InvalidArgument", message, { operation: "kill process", id });
      }
      return { isKill: effect === "terminate", statusBeforeStart: endedBeforeStart };
    },
    kill: "KILL",
    killedStatus: processAborted,
    exitStatusOf: (code) => (Number.isInteger(code) && code >= 0 && code <= highestExitCode ? code : lostStatus),
    // Unlike a Linux guest, a Windows guest reports an exit without regard to the output that is still on its way.
    drainLimits: { ...defaultDrainLimits, quietMs: 1_000 },
    // A Windows container goes on after its init process until it is shut down.
    initMayBeOutlived: true,
  };
