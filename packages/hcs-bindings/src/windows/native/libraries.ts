import { win32 } from "node:path";
import { HostError } from "../../host-error.ts";

type Environment = { readonly [name: string]: string | undefined };

/** Full paths of the DLLs. A bare name would be searched in other folders too. */
export interface LibraryPaths {
  readonly computecore: string;
  readonly computenetwork: string;
  readonly computestorage: string;
  readonly virtdisk: string;
  readonly vmcompute: string;
  readonly winsock: string;
  readonly kernel32: string;
  readonly advapi32: string;
  readonly ole32: string;
}

/** The DLLs in the System32 folder of the running Windows. */
export function systemLibraries(env: Environment): LibraryPaths {
  const of = (name: string): string => win32.join(env.SystemRoot ?? "C:\\Windows", "System32", name);
  return {
    computecore: of("computecore.dll"),
    computenetwork: of("computenetwork.dll"),
    computestorage: of("computestorage.dll"),
    virtdisk: of("virtdisk.dll"),
    vmcompute: of("vmcompute.dll"),
    winsock: of("ws2_32.dll"),
    kernel32: of("kernel32.dll"),
    advapi32: of("advapi32.dll"),
    ole32: of("ole32.dll"),
  };
}

/** The DLLs of an emulated host; its `system.dll` and `winsock.dll` wrap those of Windows. */
export function librariesOf(folder: string): LibraryPaths {
  const of = (name: string): string => win32.join(folder, name);
  return {
    computecore: of("computecore.dll"),
    computenetwork: of("computenetwork.dll"),
    computestorage: of("computestorage.dll"),
    virtdisk: of("virtdisk.dll"),
    vmcompute: of("vmcompute.dll"),
    winsock: of("winsock.dll"),
    kernel32: of("system.dll"),
    advapi32: of("system.dll"),
    ole32: of("system.dll"),
  };
}

/**
 * Reads `UVM_SHIM_HOST`: unset or empty selects the DLLs of Windows, `libraries:<folder>` those of an emulated host;
 * `none` forbids any host (Unavailable).
 */
export function resolveLibraries(env: Environment): LibraryPaths {
  const details = { operation: "find host", id: "UVM_SHIM_HOST" };
  const value = env.UVM_SHIM_HOST ?? "";
  if (value === "") return systemLibraries(env);
  if (value === "none") throw new HostError("Unavailable", "UVM_SHIM_HOST=none forbids any host", details);
  const folder = value.startsWith(librariesPrefix) ? value.slice(librariesPrefix.length) : "";
  if (win32.isAbsolute(folder)) return librariesOf(folder);
  const message = `invalid value ${JSON.stringify(value)}: expected "none", "libraries:C:\\full\\path\\of\\folder" or no value`;
  throw new HostError("InvalidArgument", message, details);
}

const librariesPrefix = "libraries:";
