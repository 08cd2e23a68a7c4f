/** Which host this machine has; the build knows the system, so the other one falls out of the bundle. */
import { connectEmulated, connectRunningEmulated } from "./host-emulated.ts";
import { connectWindowsHost } from "./host-windows.ts";

/** Connects to the host of this machine. */
export const connectHost = process.platform === "win32" ? connectWindowsHost : connectEmulated;

/** Connects to a host that runs; undefined where none may be used. NotFound (`gone`) where none runs. */
export const connectRunningHost = process.platform === "win32" ? connectWindowsHost : connectRunningEmulated;
