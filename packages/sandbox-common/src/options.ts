import { refuse, shownValue } from "./annotations/values.ts";
import { SandboxError } from "./error.ts";
import type { HostFacts } from "./host-facts.ts";
import { isAbsolute } from "./paths.ts";

/** `containerd.runhcs.v1.Options` with the names of its protobuf fields; absent: not set. */
export interface RuntimeOptions {
  readonly debug?: boolean;
  readonly debugType?: "NPIPE" | "FILE" | "ETW";
  readonly registryRoot?: string;
  readonly sandboxImage?: string;
  /** `linux/amd64`, `linux/arm64`, `windows/amd64` or `windows/arm64`. */
  readonly sandboxPlatform?: string;
  readonly sandboxIsolation?: "PROCESS" | "HYPERVISOR";
  readonly bootFilesRootPath?: string;
  readonly vmProcessorCount?: number;
  readonly vmMemorySizeInMb?: number;
  readonly GPUVHDPath?: string;
  readonly scaleCpuLimitsToSandbox?: boolean;
  readonly defaultContainerScratchSizeInGb?: number;
  readonly defaultVmScratchSizeInGb?: number;
  readonly shareScratch?: boolean;
  readonly NCProxyAddr?: string;
  readonly logLevel?: string;
  readonly ioRetryTimeoutInSec?: number;
  /** Annotations that hold unless the sandbox says otherwise. */
  readonly defaultContainerAnnotations?: { readonly [key: string]: string };
  readonly noInheritHostTimezone?: boolean;
  readonly scrubLogs?: boolean;
}

/** Options that are not in the document. */
export interface OptionSettings {
  /** The shim's log level: from log_level, else from debug. Absent: the default. */
  readonly logLevel: string | undefined;
  /** Virtual disk with GPU drivers for containers that ask for one. */
  readonly gpuVhdPath: string | undefined;
  /** Whether all containers of the pod use the sandbox container's scratch disk. */
  readonly shareScratch: boolean;
  /** How long to wait for a client that does not read a process's output; absent: without limit. */
  readonly ioRetrySeconds: number | undefined;
  readonly defaultContainerAnnotations: { readonly [key: string]: string };
}

/** Numbers of the options are int32 on the wire. */
const greatestOption = 2 ** 31 - 1;
const logLevels = ["trace", "debug", "info", "warn", "warning", "error", "fatal", "panic"];

/** Checks the options that mean the same for every guest, and returns those that are not in the document. */
export function optionSettings(options: RuntimeOptions, { pathGrammar }: HostFacts): OptionSettings {
  const { GPUVHDPath, NCProxyAddr } = options;
  const logLevel = options.logLevel?.toLowerCase();
  if (logLevel && !logLevels.includes(logLevel))
    refuse("log_level", options.logLevel, `one of ${logLevels.join(", ")}`);
  if (NCProxyAddr) {
    const message = `got ${shownValue(NCProxyAddr)}, expected nothing: pods have no network configuration proxy`;
    throw new SandboxError("Unimplemented", "NCProxyAddr", message);
  }
  if (GPUVHDPath && !isAbsolute(pathGrammar, GPUVHDPath)) refuse("GPUVHDPath", GPUVHDPath, "an absolute path");
  return {
    logLevel: logLevel || (options.debug ? "debug" : undefined),
    gpuVhdPath: GPUVHDPath || undefined,
    shareScratch: options.shareScratch ?? false,
    ioRetrySeconds: wholeOption("io_retry_timeout_in_sec", options.ioRetryTimeoutInSec) || undefined,
    defaultContainerAnnotations: { ...options.defaultContainerAnnotations },
  };
}

const reasons: { readonly [field: string]: string } = {
  default_container_scratch_size_in_gb: "the snapshotter sets the size of scratch disks",
  scale_cpu_limits_to_sandbox: "container limits are processor time, whatever the number of processors",
};

/** Warns of options that are set and have no effect on any guest, and of those given. */
export function warnOfNoEffect(
  guests: "Linux" | "Windows",
  options: RuntimeOptions,
  more: { readonly [field: string]: unknown },
  warn: (sentence: string) => void,
): void {
  const { defaultContainerScratchSizeInGb: containerScratch, defaultVmScratchSizeInGb: vmScratch } = options;
  const values: { readonly [field: string]: unknown } = {
    debug_type: options.debugType === "NPIPE" ? "" : options.debugType,
    registry_root: options.registryRoot,
    sandbox_image: options.sandboxImage,
    default_container_scratch_size_in_gb: wholeOption("default_container_scratch_size_in_gb", containerScratch),
    default_vm_scratch_size_in_gb: wholeOption("default_vm_scratch_size_in_gb", vmScratch),
    ...more,
  };
  for (const [field, value] of Object.entries(values)) {
    if (!value) continue;
    const reason = reasons[field] ? `: ${reasons[field]}` : "";
    warn(`option ${field} has no effect on ${guests} sandboxes${reason}`);
  }
}

/** An option as a whole number, 0 when it is not set. */
export function wholeOption(field: string, value: number | undefined): number {
  if (value === undefined) return 0;
  if (!Number.isInteger(value) || value < 0 || value > greatestOption) {
    refuse(field, value, `a whole number from 0 to ${greatestOption}`);
  }
  return value;
}
