import type { SandboxSettings } from "@uvm-shim/sandbox-lcow";
import { ShimError } from "@uvm-shim/shim";

const vm = "io.microsoft.virtualmachine.";

/** What can be asked of a sandbox and no controller does yet, by the annotation or option that asks for it. */
const unused: readonly (readonly [key: string, isAsked: (settings: SandboxSettings) => boolean])[] = [
  [`${vm}lcow.securitypolicy`, ({ confidential }) => confidential !== undefined],
  [`${vm}storage.scratch.encrypted`, ({ encryptScratch }) => encryptScratch],
  ["GPUVHDPath", ({ gpuVhdPath }) => gpuVhdPath !== undefined],
  ["scale_cpu_limits_to_sandbox", ({ scaleCpuLimits }) => scaleCpuLimits],
  ["default_container_scratch_size_in_gb", ({ containerScratchGb }) => containerScratchGb !== undefined],
  ["share_scratch", ({ shareScratch }) => shareScratch],
  ["io_retry_timeout_in_sec", ({ ioRetrySeconds }) => ioRetrySeconds !== 0],
];

/** Refuses what would otherwise be left out in silence. Throws Unimplemented. */
export function refuseUnusedSettings(settings: SandboxSettings): void {
  const key = unused.find(([, isAsked]) => isAsked(settings))?.[0];
  if (key !== undefined) throw new ShimError("Unimplemented", `${key}: this shim cannot do that yet`);
}
