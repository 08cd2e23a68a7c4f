import { nativeMachine } from "./native/koffi-machine.ts";
import type { LibraryPaths } from "./native/libraries.ts";
import { WindowsSystem } from "./system/windows-system.ts";
import type { WindowsHost } from "./windows-host.ts";

/** The host of a program that needs nothing else of Windows. Unavailable where a DLL cannot be loaded. */
export async function connectWindowsHost(paths: LibraryPaths): Promise<WindowsHost> {
  return await new WindowsSystem(nativeMachine(), paths).openHost();
}
