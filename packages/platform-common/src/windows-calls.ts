/** A module of its own, so that `start` and `-v` do not load the host driver. */
import type { WindowsCalls } from "@uvm-shim/shim";

let calls: Promise<WindowsCalls> | undefined;

function load(): Promise<WindowsCalls> {
  calls ??= import("@uvm-shim/hcs-bindings/windows").then((windows) => windows.shimSystem());
  return calls;
}

/** The Windows calls that the shim itself needs; undefined on other systems. */
export const loadWindowsCalls = process.platform === "win32" ? load : undefined;
