import { win32 } from "node:path";

/** Full paths of the DLLs that the driver calls: never names, which would be looked up in other folders too. */
export interface LibraryPaths {
  readonly computecore: string;
  readonly computenetwork: string;
  readonly computestorage: string;
  readonly virtdisk: string;
  readonly winsock: string;
  readonly kernel32: string;
  readonly advapi32: string;
}

/** The system's own, in the folder of the Windows that runs. */
export function systemLibraries(env: { readonly [name: string]: string | undefined }): LibraryPaths {
  const system = win32.join(env.SystemRoot ?? "C:\\Windows", "System32");
  return {
    ...hostLibraries(system),
    kernel32: win32.join(system, "kernel32.dll"),
    advapi32: win32.join(system, "advapi32.dll"),
  };
}

/** A host's DLLs of another folder, over the system's own: those of an emulated host. */
export function librariesOf(folder: string, env: { readonly [name: string]: string | undefined }): LibraryPaths {
  return { ...systemLibraries(env), ...hostLibraries(folder) };
}

function hostLibraries(folder: string): Omit<LibraryPaths, "kernel32" | "advapi32"> {
  return {
    computecore: win32.join(folder, "computecore.dll"),
    computenetwork: win32.join(folder, "computenetwork.dll"),
    computestorage: win32.join(folder, "computestorage.dll"),
    virtdisk: win32.join(folder, "virtdisk.dll"),
    winsock: win32.join(folder, "ws2_32.dll"),
  };
}
