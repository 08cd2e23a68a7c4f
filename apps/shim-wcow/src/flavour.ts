/** The only module that reads the flavour, which the build defines. */
import type { Platform, PlatformContext } from "@uvm-shim/shim";

declare const UVM_SHIM_FLAVOUR: "lcow" | "wcow";

export async function loadPlatform(context: PlatformContext): Promise<Platform> {
  if (UVM_SHIM_FLAVOUR === "wcow") {
    const { createWcowPlatform } = await import("./platform-wcow.ts");
    return createWcowPlatform(context);
  }
  throw new Error(`containerd-shim-wcow-v2 was built with flavour ${UVM_SHIM_FLAVOUR}, expected wcow`);
}
