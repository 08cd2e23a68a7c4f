import { ControllerError } from "@uvm-shim/lifecycle";

/** Exit status of a process whose end is unknown: the guest or the VM was lost, or the process never ran. */
export const lostStatus = 255;

/** A size of a terminal in characters, as guests take it; InvalidArgument for any other. */
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
