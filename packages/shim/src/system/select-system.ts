import type { ShimOptions } from "../program/shim-options.ts";
import { posixSystem } from "./posix.ts";
import type { ShimSystem } from "./system.ts";
import { windowsSystem } from "./windows.ts";

/** The system that this process runs on. A build knows it, and drops the others from the bundle. */
export function systemOf(options: Pick<ShimOptions, "loadWindowsCalls">): ShimSystem {
  return process.platform === "win32" ? windowsSystem(options.loadWindowsCalls) : posixSystem;
}
