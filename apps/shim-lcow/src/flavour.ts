/**
 * The one module of this program that reads the flavour. The flag is a define of the bundler; there is no default,
 * and what the other flavour needs falls out of the bundle.
 */
import type { Platform, PlatformContext } from "@uvm-shim/shim";

declare const UVM_SHIM_FLAVOUR: "lcow" | "wcow";

export async function loadPlatform(context: PlatformContext): Promise<Platform> {
  if (UVM_SHIM_FLAVOUR !== "lcow") throw new Error(`this is the LCOW shim, built with the flavour ${UVM_SHIM_FLAVOUR}`);
  const { createLinuxPlatform } = await import("./platform.ts");
  return createLinuxPlatform(context);
}
