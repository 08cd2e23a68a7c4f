import { HostCallbacks } from "../native/callbacks.ts";
import { computeCoreFunctions } from "../native/computecore-functions.ts";
import { kernelFunctions } from "../native/kernel-functions.ts";
import type { LibraryPaths } from "../native/libraries.ts";
import type { NativeLibrary, NativeMachine } from "../native/native-types.ts";
import { AllocatedTexts } from "../native/output-parameters.ts";

/** computecore.dll, with the callbacks and memory management for its calls. */
export interface ComputeCore {
  readonly library: NativeLibrary<typeof computeCoreFunctions>;
  readonly callbacks: HostCallbacks;
  readonly texts: AllocatedTexts;
  closeHandle(handle: bigint): void;
}

/** Throws Unavailable, with the name of the DLL, if it cannot be loaded. */
export function loadComputeCore(machine: NativeMachine, paths: LibraryPaths): ComputeCore {
  const kernel = machine.library(paths.kernel32, kernelFunctions);
  return {
    library: machine.library(paths.computecore, computeCoreFunctions),
    callbacks: HostCallbacks.of(machine),
    texts: new AllocatedTexts(machine, (address) => kernel.call("LocalFree", address)),
    closeHandle: (handle) => void kernel.call("CloseHandle", handle),
  };
}
