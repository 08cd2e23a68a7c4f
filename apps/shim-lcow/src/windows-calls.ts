/** Apart from the host, so that what only starts or tells its version does not load it. */
import type { WindowsCalls } from "@uvm-shim/shim";

let calls: Promise<WindowsCalls> | undefined;

function load(): Promise<WindowsCalls> {
  calls ??= import("@uvm-shim/hcs-bindings/windows").then((windows) => windows.shimSystem());
  return calls;
}

/** The calls of Windows that the shim itself needs; none elsewhere. */
export const loadWindowsCalls = process.platform === "win32" ? load : undefined;
