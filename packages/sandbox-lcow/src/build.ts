import {
  type ComputeSystemDocument,
  type Devices,
  type HvSocketDevice,
  type LinuxKernelDirect,
  type StorageQoS,
  scsiControllerGuids,
  type VirtualMachineMemory,
  type VirtualMachineProcessor,
} from "@uvm-shim/hcs-schema";
import { type AnnotationValues, keyOf, readAnnotations } from "./annotations.ts";
import { SandboxError } from "./error.ts";
import { kernelLine } from "./kernel-line.ts";
import type { ServiceTable } from "./service-table.ts";
import { refuse } from "./values.ts";

/** What the builder must know of the host; injected, so that a document can be built for any host on any machine. */
export interface HostFacts {
  readonly processors: number;
  /** Whether there is a file of this path. */
  readonly hasFile: (path: string) => boolean;
  /** Joins a folder and a name as the host's paths are written. */
  readonly joinPath: (folder: string, name: string) => string;
  /** Where the boot files are when nothing else is said. */
  readonly bootFiles: string;
  /** Of the host's processors; amd64 when absent. */
  readonly architecture?: "amd64" | "arm64";
  /** Build number of a Windows host; absent where the host has every feature. */
  readonly build?: number;
}

/** Runtime options of containerd's configuration, in the names of their protobuf fields; absent or zero: not set. */
export interface RuntimeOptions {
  /** `linux/amd64` or `linux/arm64`. */
  readonly sandboxPlatform?: string;
  readonly bootFilesRootPath?: string;
  readonly vmProcessorCount?: number;
  readonly vmMemorySizeInMb?: number;
  readonly logLevel?: string;
  readonly scrubLogs?: boolean;
  /** Annotations that hold unless the sandbox says otherwise. */
  readonly defaultContainerAnnotations?: { readonly [key: string]: string };
}

export interface LinuxSandboxRequest {
  /** Recorded as the owner of the compute system. */
  readonly owner: string;
  readonly annotations: { readonly [key: string]: string };
  readonly options?: RuntimeOptions;
  /** Devices that the sandbox's spec assigns to the VM. */
  readonly devices?: readonly unknown[];
  readonly host: HostFacts;
}

export interface LinuxSandbox {
  readonly document: ComputeSystemDocument;
  /** What was asked for and does not stand in the document. */
  readonly settings: { readonly noWritableFileShares: boolean; readonly policyBasedRouting: boolean };
  /** Sentences about what was not taken as it was asked for. */
  readonly warnings: readonly string[];
}

const defaultMemoryMb = 1024;
const defaultProcessors = 2;
const firstBuildWithColdDiscard = 18_967;
const logLevels = ["trace", "debug", "info", "warn", "warning", "error", "fatal", "panic"];
/** Administrators and SYSTEM alone, so that the shim can listen for the guest. */
const bindAccess = "D:P(A;;FA;;;SY)(A;;FA;;;BA)";

/** From what the operator asked for to the document of a Linux utility VM. Throws SandboxError. */
export function buildLinuxSandbox(request: LinuxSandboxRequest): LinuxSandbox {
  const { owner, options = {}, host } = request;
  checkRequest(request, options);
  const annotations = { ...options.defaultContainerAnnotations, ...request.annotations };
  const { values, serviceTable, warnings: unknown } = readAnnotations(annotations);
  const warnings = [...unknown];
  checkVpmem(values, warnings);

  const processor = processors(values, options, host, warnings);
  const { boot, rootFsVhd } = bootFiles(values, options, host);
  if (values.writableOverlays && rootFsVhd === undefined) {
    warnings.push(`annotation ${keyOf("writableOverlays")} has no effect: an initrd is writable as it is`);
  }
  const rootFs = rootFsVhd === undefined ? "initrd" : "vhd";
  const KernelCmdLine = kernelLine({ values, options, rootFs, processors: processor.Count });
  const storageQoS = storage(values);
  const noWritableFileShares = values.noWritableFileShares ?? false;
  return {
    document: {
      Owner: owner,
      SchemaVersion: { Major: 2, Minor: 1 },
      // A shim that is killed takes its VM with it.
      ShouldTerminateOnLastHandleClosed: true,
      VirtualMachine: {
        StopOnReset: true,
        Chipset: { LinuxKernelDirect: { ...boot, KernelCmdLine } },
        ComputeTopology: { Memory: memory(values, options, host), Processor: processor },
        ...(storageQoS !== undefined && { StorageQoS: storageQoS }),
        Devices: {
          Scsi: scsi(rootFsVhd),
          HvSocket: hvSocket(serviceTable),
          // Present though empty, or shares could not be added later.
          Plan9: {},
        },
      },
    },
    settings: { noWritableFileShares, policyBasedRouting: values.policyBasedRouting ?? false },
    warnings,
  };
}

function checkRequest({ devices = [], host }: LinuxSandboxRequest, options: RuntimeOptions): void {
  const { architecture = "amd64" } = host;
  const platform = `linux/${architecture}`;
  const { sandboxPlatform, logLevel } = options;
  if (sandboxPlatform && sandboxPlatform.toLowerCase() !== platform) {
    refuse("sandbox_platform", sandboxPlatform, platform);
  }
  if (architecture !== "amd64") {
    throw new SandboxError(
      "Unimplemented",
      keyOf("kernelDirectBoot"),
      `${architecture} hosts cannot boot kernels directly`,
    );
  }
  if (logLevel && !logLevels.includes(logLevel)) refuse("log_level", logLevel, `one of ${logLevels.join(", ")}`);
  if (devices.length > 0) {
    throw new SandboxError("Unimplemented", "windows.devices", `got ${devices.length} devices, none are supported`);
  }
}

function checkVpmem(values: AnnotationValues, warnings: string[]): void {
  if (!values.vpmemCount) return;
  const key = keyOf("vpmemCount");
  if (!values.fullyPhysicallyBacked) refuse(key, String(values.vpmemCount), "0: layers are SCSI disks");
  warnings.push(`annotation ${key} has no effect on a VM with physical memory`);
}

/** An option as a whole number, 0 when it is not set. */
function option(field: string, value: number | undefined): number {
  if (value === undefined) return 0;
  if (!Number.isInteger(value) || value < 0) refuse(field, value, "a whole number from 0");
  return value;
}

function processors(
  values: AnnotationValues,
  options: RuntimeOptions,
  host: HostFacts,
  warnings: string[],
): VirtualMachineProcessor {
  const fromOption = option("vm_processor_count", options.vmProcessorCount);
  const asked = values.processorCount || fromOption;
  if (asked > host.processors) {
    warnings.push(`the VM gets ${host.processors} processors instead of ${asked}: the host has no more`);
  }
  return {
    Count: Math.min(asked || defaultProcessors, host.processors),
    ...(values.processorLimit ? { Limit: values.processorLimit } : {}),
    ...(values.processorWeight ? { Weight: values.processorWeight } : {}),
  };
}

function memory(values: AnnotationValues, options: RuntimeOptions, host: HostFacts): VirtualMachineMemory {
  const fromOption = option("vm_memory_size_in_mb", options.vmMemorySizeInMb);
  const size = values.memorySize || fromOption || defaultMemoryMb;
  const overcommit = (values.allowOvercommit ?? true) && !values.fullyPhysicallyBacked;
  if (values.deferredCommit && !overcommit) {
    const needed = `false, or ${keyOf("allowOvercommit")} true and ${keyOf("fullyPhysicallyBacked")} false`;
    refuse(keyOf("deferredCommit"), "true", needed);
  }
  if (values.coldDiscardHint && host.build !== undefined && host.build < firstBuildWithColdDiscard) {
    const needed = `false on build ${host.build}; hints need build ${firstBuildWithColdDiscard} or later`;
    refuse(keyOf("coldDiscardHint"), "true", needed);
  }
  return {
    // HCS takes memory in pages of 2 MiB.
    SizeInMB: size + (size % 2),
    ...(overcommit && { AllowOvercommit: true }),
    ...(values.deferredCommit && { EnableDeferredCommit: true }),
    ...(values.coldDiscardHint && { EnableColdDiscardHint: true }),
    ...(values.lowMmioGap ? { LowMmioGapInMB: values.lowMmioGap } : {}),
    ...(values.highMmioBase ? { HighMmioBaseInMB: values.highMmioBase } : {}),
    ...(values.highMmioGap ? { HighMmioGapInMB: values.highMmioGap } : {}),
  };
}

interface Boot {
  readonly boot: LinuxKernelDirect;
  /** Path of the root file system where it is a disk. */
  readonly rootFsVhd: string | undefined;
}

function bootFiles(values: AnnotationValues, options: RuntimeOptions, host: HostFacts): Boot {
  if (values.kernelDirectBoot === false) {
    const message = 'got "false", only direct boot of the kernel is supported';
    throw new SandboxError("Unimplemented", keyOf("kernelDirectBoot"), message);
  }
  const [field, folder] = values.bootFilesRootPath
    ? [keyOf("bootFilesRootPath"), values.bootFilesRootPath]
    : options.bootFilesRootPath
      ? ["boot_files_root_path", options.bootFilesRootPath]
      : [keyOf("bootFilesRootPath"), host.bootFiles];
  // The host's service has another working directory than the shim.
  if (!isAbsolute(folder)) refuse(field, folder, "an absolute path");
  const path = (name: string): string => host.joinPath(folder, name);
  const require = (...names: readonly string[]): string => {
    const paths = names.map(path);
    const found = paths.find(host.hasFile);
    if (found !== undefined) return found;
    return refuse(field, folder, `a folder with boot files: there is no file ${paths.join(" or ")}`);
  };
  const KernelFilePath = require("vmlinux", "kernel");
  const rootFs = values.preferredRootFs ?? (host.hasFile(path("rootfs.vhd")) ? "vhd" : "initrd");
  return rootFs === "vhd"
    ? { boot: { KernelFilePath }, rootFsVhd: require("rootfs.vhd") }
    : { boot: { KernelFilePath, InitRdPath: require("initrd.img") }, rootFsVhd: undefined };
}

/** In either path grammar: below `/`, below a drive, or on a share. */
function isAbsolute(path: string): boolean {
  return /^(\/|\\\\|[A-Za-z]:[\\/])/.test(path);
}

function storage({ storageBandwidth, storageIops }: AnnotationValues): StorageQoS | undefined {
  if (!storageBandwidth && !storageIops) return undefined;
  return {
    ...(storageIops ? { IopsMaximum: storageIops } : {}),
    ...(storageBandwidth ? { BandwidthMaximum: storageBandwidth } : {}),
  };
}

/** All four controllers, since every layer of every container is a disk. A root file system is the first of all. */
function scsi(rootFsVhd: string | undefined): NonNullable<Devices["Scsi"]> {
  const controllers = Object.fromEntries(scsiControllerGuids.map((guid) => [guid, {}]));
  if (rootFsVhd === undefined) return controllers;
  const rootFs = { Type: "VirtualDisk", Path: rootFsVhd, ReadOnly: true } as const;
  return { ...controllers, [scsiControllerGuids[0]]: { Attachments: { "0": rootFs } } };
}

function hvSocket(serviceTable: ServiceTable): HvSocketDevice {
  return {
    HvSocketConfig: {
      DefaultBindSecurityDescriptor: bindAccess,
      ...(Object.keys(serviceTable).length > 0 && { ServiceTable: serviceTable }),
    },
  };
}
