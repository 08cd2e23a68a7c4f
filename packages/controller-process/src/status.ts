import { ControllerError } from "@uvm-shim/lifecycle";

export const sigkill = 9;

/** Exit status of a process whose end is unknown: the guest or the VM was lost, or the process never ran. */
export const lostStatus = 255;

export function killedStatus(signalNumber: number): number {
  return 128 + signalNumber;
}

/**
 * Linux signals that do not end a process by default: SIGCHLD, SIGCONT, SIGURG, SIGWINCH, SIGSTOP, SIGTSTP, SIGTTIN,
 * SIGTTOU.
 */
const survived = new Set([17, 18, 23, 28, 19, 20, 21, 22]);

/** Whether the default action of a signal ends a process. */
export function endsByDefault(signalNumber: number): boolean {
  return !survived.has(signalNumber);
}

export function checkedSignal(signalNumber: number, id: string): void {
  if (Number.isInteger(signalNumber) && signalNumber >= 1 && signalNumber <= 64) return;
  throw new ControllerError("InvalidArgument", `invalid signal ${signalNumber}: expected 1 to 64`, {
    operation: "kill process",
    id,
  });
}

export function checkedConsoleSize(width: number, height: number, id: string): { width: number; height: number } {
  for (const [name, value] of Object.entries({ width, height })) {
    if (Number.isInteger(value) && value >= 0 && value <= 0xffff) continue;
    throw new ControllerError("InvalidArgument", `invalid terminal ${name} ${value}: expected 0 to 65535`, {
      operation: "resize process",
      id,
    });
  }
  return { width, height };
}

/** The guest is not trusted to stay within the range that containerd accepts. */
export function exitStatusOf(code: number): number {
  return Number.isInteger(code) && code >= 0 && code <= 255 ? code : lostStatus;
}
