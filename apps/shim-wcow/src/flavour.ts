/** The one module that knows the flavour, which the build defines; nothing else asks what the bundle is for. */
import { type Platform, ShimError } from "@uvm-shim/shim";

declare const UVM_SHIM_FLAVOUR: "lcow" | "wcow";

export async function loadPlatform(): Promise<Platform> {
  if (UVM_SHIM_FLAVOUR === "wcow") throw unimplemented();
  throw new Error(`containerd-shim-wcow-v2 was built with flavour ${UVM_SHIM_FLAVOUR}, expected wcow`);
}

/** What every request but those about the shim itself is answered with. */
export function unimplemented(): ShimError {
  const message = "Windows containers are not supported yet: containerd-shim-wcow-v2 answers -v and -info only";
  return new ShimError("Unimplemented", message);
}
