import { ControllerError } from "@uvm-shim/lifecycle";

export const sigkill = 9;

/** Exit status of a process whose end nobody has seen: guest or VM was lost, or it never ran. */
export const lostStatus = 255;

export function killedStatus(signalNumber: number): number {
  return 128 + signalNumber;
}

/** SIGCHLD, SIGCONT, SIGURG and SIGWINCH on Linux. */
const ignoredByDefault = new Set([17, 18, 23, 28]);

export function isIgnoredByDefault(signalNumber: number): boolean {
  return ignoredByDefault.has(signalNumber);
}

export function checkedSignal(signalNumber: number, id: string): void {
  if (Number.isInteger(signalNumber) && signalNumber >= 1 && signalNumber <= 64) return;
  throw new ControllerError("InvalidArgument", `signal ${signalNumber} is none of Linux, which has 1 to 64`, {
    operation: "kill process",
    id,
  });
}

export function checkedConsoleSize(width: number, height: number, id: string): { width: number; height: number } {
  for (const [name, value] of Object.entries({ width, height })) {
    if (Number.isInteger(value) && value >= 0 && value <= 0xffff) continue;
    throw new ControllerError("InvalidArgument", `${name} ${value} is no terminal size, which goes from 0 to 65535`, {
      operation: "resize process",
      id,
    });
  }
  return { width, height };
}

/** The guest is not trusted to keep to the range that containerd knows. */
export function exitStatusOf(code: number): number {
  return Number.isInteger(code) && code >= 0 && code <= 255 ? code : lostStatus;
}
