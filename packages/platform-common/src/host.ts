/** Selects the host by operating system; the build knows the system and drops the other one from the bundle. */
import { createPosixHostFiles, createWindowsHostFiles } from "@uvm-shim/hcs-bindings";
import { posixPaths, windowsPaths } from "@uvm-shim/lifecycle";
import { connectEmulated, connectRunningEmulated, describeEmulated } from "./host-emulated.ts";
import { connectRunningWindows, connectWindows, describeWindows } from "./host-windows.ts";

export const connectHost = process.platform === "win32" ? connectWindows : connectEmulated;

/** Undefined if no host may be used. Throws NotFound (`gone`) if none runs. */
export const connectRunningHost = process.platform === "win32" ? connectRunningWindows : connectRunningEmulated;

export const describeHost = process.platform === "win32" ? describeWindows : describeEmulated;

export const createHostFiles = process.platform === "win32" ? createWindowsHostFiles : createPosixHostFiles;

/** How to compare and split paths of the host. */
export const hostPaths = process.platform === "win32" ? windowsPaths : posixPaths;

export const hostPathGrammar = process.platform === "win32" ? "windows" : "posix";
