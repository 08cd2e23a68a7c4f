/** The only module that reads the flavour, which the build defines. */
import type { Platform, PlatformContext } from "@uvm-shim/shim";

declare const UVM_SHIM_FLAVOUR: "lcow" | "wcow";

export async function loadPlatform(context: PlatformContext): Promise<Platform> {
  if (UVM_SHIM_FLAVOUR === "lcow") {
    const { createLcowPlatform } = await import("./platform-lcow.ts");
    return createLcowPlatform(context);
  }
  throw new Error(`containerd-shim-lcow-v2 was built with flavour ${UVM_SHIM_FLAVOUR}, expected lcow`);
}
