import type { LinuxProcessParameters, OciProcess } from "@uvm-shim/hcs-schema";
import { ControllerError } from "@uvm-shim/lifecycle";
import { defaultDrainLimits } from "./drain.ts";
import { lostStatus } from "./status.ts";
import type { ProcessFlavour } from "./types.ts";

const sigkill = 9;
const highestSignal = 64;

/** SIGCHLD, SIGCONT, SIGURG, SIGWINCH, SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU: they do not end a process by default. */
const survived = new Set([17, 18, 23, 28, 19, 20, 21, 22]);

/** Processes of Linux guests. Of a container's init process its specification tells the guest already. */
export const linuxProcesses: ProcessFlavour<OciProcess, LinuxProcessParameters, number> = {
  // Only the parameters of an exec carry a terminal size: guests ignore it in those of an init process.
  parameters: ({ description, consoleSize, pipes }) => ({
    ...(description && { OCIProcess: consoleSize === undefined ? description : { ...description, consoleSize } }),
    ...pipes,
  }),
  effectOf: (signal, id) => {
    if (!Number.isInteger(signal) || signal < 1 || signal > highestSignal) {
      const message = `invalid signal ${signal}: expected 1 to ${highestSignal}`;
      throw new ControllerError("InvalidArgument", message, { operation: "kill process", id });
    }
    return { isKill: signal === sigkill, statusBeforeStart: survived.has(signal) ? undefined : 128 + signal };
  },
  kill: sigkill,
  killedStatus: 128 + sigkill,
  exitStatusOf: (code) => (Number.isInteger(code) && code >= 0 && code <= 255 ? code : lostStatus),
  drainLimits: defaultDrainLimits,
  // The guest ends what an init process leaves behind.
  initMayBeOutlived: false,
};
