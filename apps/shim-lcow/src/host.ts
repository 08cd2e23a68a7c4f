/** Which host this machine has; the build knows the system, so the other one falls out of the bundle. */
import { createPosixHostFiles, createWindowsHostFiles } from "@uvm-shim/hcs-bindings";
import { posixPaths, windowsPaths } from "@uvm-shim/lifecycle";
import { connectEmulated, connectRunningEmulated } from "./host-emulated.ts";
import { connectRunningWindows, connectWindows } from "./host-windows.ts";

/** Connects to the host of this machine. */
export const connectHost = process.platform === "win32" ? connectWindows : connectEmulated;

/** Connects to a host that runs; undefined where none may be used. NotFound (`gone`) where none runs. */
export const connectRunningHost = process.platform === "win32" ? connectRunningWindows : connectRunningEmulated;

export const createHostFiles = process.platform === "win32" ? createWindowsHostFiles : createPosixHostFiles;

/** How paths of the host are compared and taken apart. */
export const hostPaths = process.platform === "win32" ? windowsPaths : posixPaths;

export const hostPathGrammar = process.platform === "win32" ? "windows" : "posix";
