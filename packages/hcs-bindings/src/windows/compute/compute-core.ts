import { HostCallbacks } from "../native/callbacks.ts";
import { computeCoreFunctions } from "../native/computecore-functions.ts";
import { kernelFunctions } from "../native/kernel-functions.ts";
import type { LibraryPaths } from "../native/libraries.ts";
import type { NativeLibrary, NativeMachine } from "../native/native-types.ts";
import { HostTexts } from "../native/output-parameters.ts";

/** computecore.dll with what its calls need: the functions that it calls back, and its texts. */
export interface ComputeCore {
  readonly library: NativeLibrary<typeof computeCoreFunctions>;
  readonly callbacks: HostCallbacks;
  readonly texts: HostTexts;
  closeHandle(handle: bigint): void;
}

/** Unavailable, with the name of the DLL, where it cannot be loaded. */
export function loadComputeCore(machine: NativeMachine, paths: LibraryPaths): ComputeCore {
  const kernel = machine.library(paths.kernel32, kernelFunctions);
  return {
    library: machine.library(paths.computecore, computeCoreFunctions),
    callbacks: HostCallbacks.of(machine),
    texts: new HostTexts(machine, (address) => kernel.call("LocalFree", address)),
    closeHandle: (handle) => void kernel.call("CloseHandle", handle),
  };
}
