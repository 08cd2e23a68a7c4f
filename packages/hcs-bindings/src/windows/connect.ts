import { nativeMachine } from "./native/koffi-machine.ts";
import type { LibraryPaths } from "./native/libraries.ts";
import { WindowsSystem } from "./system/windows-system.ts";
import type { WindowsHost } from "./windows-host.ts";

/** Opens the host for a program that uses nothing else of Windows. Unavailable if a DLL cannot be loaded. */
export async function connectWindowsHost(paths: LibraryPaths): Promise<WindowsHost> {
  return await new WindowsSystem(nativeMachine(), paths).openHost();
}
