import {
  type ComputeSystemDocument,
  type Devices,
  type StorageQoS,
  scsiControllerGuids,
  type VirtualMachineMemory,
  type VirtualMachineProcessor,
} from "@uvm-shim/hcs-schema";
import { type AnnotationValues, readAnnotations } from "./annotations.ts";
import { SandboxError } from "./error.ts";

/** What the builder must know of the host; injected, so that a document can be built for any host on any machine. */
export interface HostFacts {
  readonly processors: number;
  /** Whether there is a file of this path. */
  readonly hasFile: (path: string) => boolean;
  /** Joins a folder and a name as the host's paths are written. */
  readonly joinPath: (folder: string, name: string) => string;
  /** Where the boot files are when nothing else is said. */
  readonly bootFiles: string;
}

export interface LinuxSandboxRequest {
  /** Recorded as the owner of the compute system. */
  readonly owner: string;
  readonly annotations: { readonly [key: string]: string };
  readonly host: HostFacts;
}

export interface LinuxSandbox {
  readonly document: ComputeSystemDocument;
  /** What was asked for and does not stand in the document. */
  readonly settings: { readonly noWritableFileShares: boolean };
  readonly warnings: readonly string[];
}

const bootFilesKey = "io.microsoft.virtualmachine.bootfilesrootpath";
const vhdKey = "io.microsoft.virtualmachine.lcow.preferredrootfstype";
const directBootKey = "io.microsoft.virtualmachine.lcow.kerneldirectboot";
const deferredCommitKey = "io.microsoft.virtualmachine.computetopology.memory.enabledeferredcommit";

const defaultMemoryMb = 1024;
const defaultProcessors = 2;
/** Administrators and SYSTEM may bind and connect, nobody else. */
const hvSocketAccess = "D:P(A;;FA;;;SY)(A;;FA;;;BA)";

/** From what the operator asked for to the document of a Linux utility VM. Throws SandboxError. */
export function buildLinuxSandbox({ owner, annotations, host }: LinuxSandboxRequest): LinuxSandbox {
  const { values, warnings } = readAnnotations(annotations);
  const storageQoS = storage(values);
  return {
    document: {
      Owner: owner,
      SchemaVersion: { Major: 2, Minor: 1 },
      ShouldTerminateOnLastHandleClosed: true,
      VirtualMachine: {
        StopOnReset: true,
        Chipset: { LinuxKernelDirect: kernel(values, host) },
        ComputeTopology: { Memory: memory(values), Processor: processor(values, host) },
        Devices: devices(),
        ...(storageQoS === undefined ? {} : { StorageQoS: storageQoS }),
      },
    },
    settings: { noWritableFileShares: values["io.microsoft.virtualmachine.fileshares.disablewritable"] ?? false },
    warnings,
  };
}

function kernel(values: AnnotationValues, host: HostFacts) {
  if (values[directBootKey] === false) {
    throw new SandboxError("Unimplemented", directBootKey, 'got "false", only direct boot of the kernel is supported');
  }
  if (values[vhdKey] === "vhd") {
    throw new SandboxError("Unimplemented", vhdKey, 'got "vhd", only "initrd" is supported');
  }
  const folder = values[bootFilesKey] || host.bootFiles;
  const bootFile = (name: string): string => {
    const path = host.joinPath(folder, name);
    if (host.hasFile(path)) return path;
    throw new SandboxError(
      "InvalidArgument",
      bootFilesKey,
      `there is no file ${path}; expected a folder with boot files`,
    );
  };
  const options = values["io.microsoft.virtualmachine.lcow.kernelbootoptions"] ?? "";
  return {
    KernelFilePath: bootFile("kernel"),
    InitRdPath: bootFile("initrd.img"),
    ...(options === "" ? {} : { KernelCmdLine: options }),
  };
}

function memory(values: AnnotationValues): VirtualMachineMemory {
  const size = values["io.microsoft.virtualmachine.computetopology.memory.sizeinmb"] || defaultMemoryMb;
  const overcommit = values["io.microsoft.virtualmachine.computetopology.memory.allowovercommit"] ?? true;
  const deferred = values[deferredCommitKey] ?? false;
  if (deferred && !overcommit) {
    throw new SandboxError("InvalidArgument", deferredCommitKey, 'got "true", expected false without overcommit');
  }
  const low = values["io.microsoft.virtualmachine.computetopology.memory.lowmmiogapinmb"] ?? 0;
  const base = values["io.microsoft.virtualmachine.computetopology.memory.highmmiobaseinmb"] ?? 0;
  const high = values["io.microsoft.virtualmachine.computetopology.memory.highmmiogapinmb"] ?? 0;
  return {
    // HCS takes memory in pages of 2 MiB.
    SizeInMB: size + (size % 2),
    AllowOvercommit: overcommit,
    ...(deferred ? { EnableDeferredCommit: true } : {}),
    ...(values["io.microsoft.virtualmachine.computetopology.memory.enablecolddiscardhint"]
      ? { EnableColdDiscardHint: true }
      : {}),
    ...(low > 0 ? { LowMmioGapInMB: low } : {}),
    ...(base > 0 ? { HighMmioBaseInMB: base } : {}),
    ...(high > 0 ? { HighMmioGapInMB: high } : {}),
  };
}

function processor(values: AnnotationValues, host: HostFacts): VirtualMachineProcessor {
  const count = values["io.microsoft.virtualmachine.computetopology.processor.count"] || defaultProcessors;
  const limit = values["io.microsoft.virtualmachine.computetopology.processor.limit"] ?? 0;
  const weight = values["io.microsoft.virtualmachine.computetopology.processor.weight"] ?? 0;
  return {
    Count: Math.min(count, host.processors),
    ...(limit > 0 ? { Limit: limit } : {}),
    ...(weight > 0 ? { Weight: weight } : {}),
  };
}

function storage(values: AnnotationValues): StorageQoS | undefined {
  const bandwidth = values["io.microsoft.virtualmachine.storageqos.bandwidthmaximum"] ?? 0;
  const iops = values["io.microsoft.virtualmachine.storageqos.iopsmaximum"] ?? 0;
  if (bandwidth === 0 && iops === 0) return undefined;
  return {
    ...(iops > 0 ? { IopsMaximum: iops } : {}),
    ...(bandwidth > 0 ? { BandwidthMaximum: bandwidth } : {}),
  };
}

function devices(): Devices {
  return {
    Scsi: Object.fromEntries(scsiControllerGuids.map((guid) => [guid, {}])),
    HvSocket: {
      HvSocketConfig: {
        DefaultBindSecurityDescriptor: hvSocketAccess,
        DefaultConnectSecurityDescriptor: hvSocketAccess,
      },
    },
    Plan9: {},
  };
}
