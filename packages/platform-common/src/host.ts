/** Selects the host by operating system; the build knows the system and drops the other one from the bundle. */
import { createPosixHostFiles, createWindowsHostFiles } from "@uvm-shim/hcs-bindings";
import { posixPaths, windowsPaths } from "@uvm-shim/lifecycle";
import { connectEmulated, connectRunningEmulated, describeEmulated } from "./host-emulated.ts";
import { connectRunningWindows, connectWindows, describeWindows } from "./host-windows.ts";

/** Connects to the machine's host, and starts an emulated one where that may be. */
export const connectHost = process.platform === "win32" ? connectWindows : connectEmulated;

/** Undefined if no host may be used. Throws NotFound (`gone`) if none runs. */
export const connectRunningHost = process.platform === "win32" ? connectRunningWindows : connectRunningEmulated;

/** Which host `connectHost` would connect to. */
export const describeHost = process.platform === "win32" ? describeWindows : describeEmulated;

/** The files of this machine's kind of host. */
export const createHostFiles = process.platform === "win32" ? createWindowsHostFiles : createPosixHostFiles;

/** How to compare and split paths of the host. */
export const hostPaths = process.platform === "win32" ? windowsPaths : posixPaths;

/** How documents name files of the host. */
export const hostPathGrammar = process.platform === "win32" ? "windows" : "posix";
