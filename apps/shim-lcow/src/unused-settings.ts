import type { SandboxSettings } from "@uvm-shim/sandbox-lcow";
import { ShimError } from "@uvm-shim/shim";

const vm = "io.microsoft.virtualmachine.";

/**
 * What can be asked of a sandbox and no controller does yet, by the annotation or option that asks for it. Size and
 * sharing of scratch disks are the snapshotter's, whose disks are taken as they come; a client that reconnects to its
 * FIFO is always waited for.
 */
const unused: readonly (readonly [key: string, isAsked: (settings: SandboxSettings) => boolean])[] = [
  [`${vm}lcow.securitypolicy`, ({ confidential }) => confidential !== undefined],
  ["GPUVHDPath", ({ gpuVhdPath }) => gpuVhdPath !== undefined],
  ["scale_cpu_limits_to_sandbox", ({ scaleCpuLimits }) => scaleCpuLimits],
];

/** Refuses what would otherwise be left out in silence. Throws Unimplemented. */
export function refuseUnusedSettings(settings: SandboxSettings): void {
  const key = unused.find(([, isAsked]) => isAsked(settings))?.[0];
  if (key !== undefined) throw new ShimError("Unimplemented", `${key}: this shim cannot do that yet`);
}
