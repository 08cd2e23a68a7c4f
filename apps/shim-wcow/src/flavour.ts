/** The only module that reads the flavour, which the build defines. */
import { type Platform, ShimError } from "@uvm-shim/shim";

declare const UVM_SHIM_FLAVOUR: "lcow" | "wcow";

export async function loadPlatform(): Promise<Platform> {
  if (UVM_SHIM_FLAVOUR === "wcow") throw unimplemented();
  throw new Error(`containerd-shim-wcow-v2 was built with flavour ${UVM_SHIM_FLAVOUR}, expected wcow`);
}

/** The error for everything but requests about the shim itself. */
export function unimplemented(): ShimError {
  const message = "Windows containers are not supported yet: containerd-shim-wcow-v2 answers -v and -info only";
  return new ShimError("Unimplemented", message);
}
