/**
 * The one module of this program that reads the flavour. The flag is a define of the bundler; there is no default,
 * and what the other flavour needs falls out of the bundle.
 */
import { type Platform, ShimError } from "@uvm-shim/shim";

declare const UVM_SHIM_FLAVOUR: "lcow" | "wcow";

export async function loadPlatform(): Promise<Platform> {
  if (UVM_SHIM_FLAVOUR !== "wcow") throw new Error(`this is the WCOW shim, built with the flavour ${UVM_SHIM_FLAVOUR}`);
  throw new ShimError("Unimplemented", "pods of Windows containers are not supported by this version");
}
