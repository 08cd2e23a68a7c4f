import {
  type HostFacts,
  type OptionSettings,
  optionSettings,
  type RuntimeOptions,
  refuse,
  warnOfNoEffect,
} from "@uvm-shim/sandbox-common";

/** Checks the options, and returns those that are not in the document. Throws SandboxError. */
export function readOptions(
  options: RuntimeOptions,
  host: HostFacts,
  warn: (sentence: string) => void,
): OptionSettings {
  checkPlatform(options, host.architecture ?? "amd64");
  const settings = optionSettings(options, host);
  const { noInheritHostTimezone, scaleCpuLimitsToSandbox } = options;
  const windowsOnly = {
    no_inherit_host_timezone: noInheritHostTimezone,
    scale_cpu_limits_to_sandbox: scaleCpuLimitsToSandbox,
  };
  warnOfNoEffect("Linux", options, windowsOnly, warn);
  return settings;
}

function checkPlatform({ sandboxPlatform, sandboxIsolation }: RuntimeOptions, architecture: string): void {
  const platform = `linux/${architecture}`;
  if (sandboxPlatform && sandboxPlatform.toLowerCase() !== platform) {
    refuse("sandbox_platform", sandboxPlatform, platform);
  }
  if (sandboxIsolation === "PROCESS") {
    refuse("sandbox_isolation", sandboxIsolation, "HYPERVISOR: Linux sandboxes are virtual machines");
  }
}
