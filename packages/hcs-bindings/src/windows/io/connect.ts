import type { LibraryPaths } from "../native/libraries.ts";
import { nativeMachine } from "../native/native-calls.ts";
import type { WindowsHost } from "../windows-host.ts";
import { WindowsSystem } from "../windows-system.ts";

/** The host of a program that needs nothing else of Windows. Unavailable where a DLL cannot be loaded. */
export async function connectWindowsHost(paths: LibraryPaths): Promise<WindowsHost> {
  return await new WindowsSystem(nativeMachine(), paths).openHost();
}
