/** What each runtime option does, for docs/reference.md. */
import type { optionKinds } from "../../packages/shim/src/program/runtime-options.ts";

export interface OptionText {
  readonly what: string;
  readonly standard?: string;
  /** Where only one kind of guests has it; the other warns that it has no effect. */
  readonly only?: "Linux" | "Windows";
  /** Accepted, and without effect: why. */
  readonly withoutEffect?: true;
}

export const optionTexts: { readonly [Field in keyof typeof optionKinds]: OptionText } = {
  debug: { what: "Log level `debug`, where `log_level` says nothing.", standard: "false" },
  debugType: { what: "Where earlier shims wrote their log.", withoutEffect: true },
  registryRoot: { what: "Of earlier shims.", withoutEffect: true },
  sandboxImage: { what: "Of earlier shims: containerd has the image of pods.", withoutEffect: true },
  sandboxPlatform: {
    what: "`linux/amd64` or `windows/amd64`: another system than the shim's is refused.",
    standard: "the shim's",
  },
  sandboxIsolation: { what: "`HYPERVISOR` (1) is the only one: each pod has a VM.", standard: "`HYPERVISOR`" },
  bootFilesRootPath: {
    what: "Folder of the host with boot files; for Windows pods, of an unpacked base layer.",
    standard: "`LinuxBootFiles` beside the executable, and so on; none for Windows pods",
  },
  vmProcessorCount: {
    what: "Processors of each VM. 0 counts as not set.",
    standard: "by the containers' limits, at least 2",
  },
  vmMemorySizeInMb: {
    what: "Memory of each VM in MB, which is then fixed. 0 counts as not set.",
    standard: "by the containers' limits",
  },
  GPUVHDPath: { what: "Virtual disk of the host with GPU drivers.", only: "Linux" },
  scaleCpuLimitsToSandbox: {
    what: "A container's maximum of processor time is a part of the host's processors, and is scaled to the VM's.",
    standard: "false",
    only: "Windows",
  },
  defaultContainerScratchSizeInGb: { what: "The snapshotter sets the size of scratch disks.", withoutEffect: true },
  defaultVmScratchSizeInGb: { what: "The same for VMs.", withoutEffect: true },
  shareScratch: {
    what: "All containers of a pod write to one scratch disk, that of the pod.",
    standard: "false",
    only: "Linux",
  },
  NCProxyAddr: { what: "A network configuration proxy: any value is refused.", withoutEffect: true },
  logLevel: {
    what: "`trace`, `debug`, `info`, `warn`, `error`, `fatal` or `panic`.",
    standard: "`info`; `debug` with `-debug` or `debug`",
  },
  ioRetryTimeoutInSec: {
    what: "Seconds after which output is lost whose client does not read, or whose pipe has gone. 0 means never.",
    standard: "0",
  },
  defaultContainerAnnotations: {
    what: "Annotations of every pod that does not say otherwise itself.",
    standard: "none",
  },
  noInheritHostTimezone: { what: "The guest has UTC.", standard: "false", only: "Windows" },
  scrubLogs: {
    what: "The guest leaves texts of callers out of its log.",
    standard: "the guest's choice",
    only: "Linux",
  },
};
