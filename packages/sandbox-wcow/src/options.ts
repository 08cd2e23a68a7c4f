import {
  type HostFacts,
  type OptionSettings,
  optionSettings,
  type RuntimeOptions,
  refuse,
  warnOfNoEffect,
  wholeOption,
} from "@uvm-shim/sandbox-common";
import { keyOf } from "./annotations/annotations.ts";

/** Checks the options, and returns those that are not in the document. Throws SandboxError. */
export function readOptions(
  options: RuntimeOptions,
  host: HostFacts,
  isHypervSpecified: boolean,
  warn: (sentence: string) => void,
): OptionSettings {
  checkIsolation(options, isHypervSpecified);
  checkPlatform(options.sandboxPlatform ?? "", host.architecture ?? "amd64", warn);
  const settings = optionSettings(options, host);
  warnOfNoEffect("Windows", options, { GPUVHDPath: options.GPUVHDPath, share_scratch: options.shareScratch }, warn);
  return settings;
}

/** Annotations that options stand for; the sandbox's own come first. */
export function annotationsOf(options: RuntimeOptions): { readonly [key: string]: string } {
  const count = wholeOption("vm_processor_count", options.vmProcessorCount);
  const memory = wholeOption("vm_memory_size_in_mb", options.vmMemorySizeInMb);
  return {
    ...options.defaultContainerAnnotations,
    ...(options.bootFilesRootPath ? { [keyOf("bootFilesRootPath")]: options.bootFilesRootPath } : {}),
    ...(count > 0 && { [keyOf("processorCount")]: String(count) }),
    ...(memory > 0 && { [keyOf("memorySize")]: String(memory) }),
  };
}

/** Options without isolation are those of containers without a VM, unless there are none at all. */
function checkIsolation(options: RuntimeOptions, isHypervSpecified: boolean): void {
  const { sandboxIsolation: isolation } = options;
  if (isolation === "PROCESS") refuse("sandbox_isolation", isolation, "HYPERVISOR: each pod has a virtual machine");
  if (isolation === undefined && isHypervSpecified && Object.values(options).some(isSet)) {
    refuse("sandbox_isolation", undefined, "HYPERVISOR, as windows.hyperv is given beside other options");
  }
}

function isSet(value: unknown): boolean {
  if (typeof value === "object" && value !== null) return Object.keys(value).length > 0;
  return Boolean(value) && value !== "NPIPE";
}

const architectures = ["386", "amd64", "arm", "arm64", "i386", "x86_64", "x86-64", "aarch64", "armhf", "armel"];

/** A platform as containerd writes it: a system, an architecture, or both and a variant. */
function checkPlatform(platform: string, architecture: string, warn: (sentence: string) => void): void {
  if (platform === "") return;
  const parts = platform.toLowerCase().split("/");
  const [system = "", given] = parts;
  const isWindows = /^windows(\([\w.+-]*\))?$/.test(system) || (parts.length === 1 && architectures.includes(system));
  if (!isWindows || parts.length > 3 || !parts.slice(1).every((part) => /^[\w.-]+$/.test(part))) {
    refuse("sandbox_platform", platform, `windows/${architecture}`);
  }
  if (given !== undefined && given !== architecture) {
    warn(`option sandbox_platform is for ${given}, and this host is ${architecture}: the VM is as the host`);
  }
}
